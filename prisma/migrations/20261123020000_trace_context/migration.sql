-- Where in which trace the event was written, for whoever passes it on and delivers it: a traceparent (W3C Trace Context), only
-- where that trace is kept. Nobody outside is shown it.

-- AlterTable
ALTER TABLE "event" ADD COLUMN "trace_context" TEXT;
ALTER TABLE "event" ADD CONSTRAINT "event_trace_context_check" CHECK (length("trace_context") <= 55) NOT VALID;
