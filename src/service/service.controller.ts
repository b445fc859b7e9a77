import { Controller, Get, Header } from '@nestjs/common';
import { ApiExcludeEndpoint, ApiOperation, ApiProduces, ApiResponse, ApiTags } from '@nestjs/swagger';
import { MetricsOnly, Public } from '../auth/access.js';
import { AnswersBare, Bare, Fails } from '../core/openapi.js';
import { HealthView, ReadinessView, RootView } from './service.dto.js';
import { ServiceService } from './service.service.js';

/** Version 0.0.4 of the text format: what every collector reads. */
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

@ApiTags('Service')
@Controller()
export class ServiceController {
  constructor(private readonly service: ServiceService) {}

  @Get()
  @Public()
  @AnswersBare(RootView, 'Name, version and links.')
  @ApiOperation({ summary: 'What is this?' })
  root() {
    return this.service.root();
  }

  @Get('health/live')
  @Public({ limit: 'none' })
  @AnswersBare(HealthView, 'The process lives.')
  @ApiOperation({ summary: 'Liveness', description: 'Says nothing of the database: a process without one still lives.' })
  live() {
    return this.service.live();
  }

  @Get('health/ready')
  @Public({ limit: 'none' })
  @AnswersBare(ReadinessView, 'The server can work: its database answers and is migrated.')
  @ApiOperation({
    summary: 'Readiness',
    description: '503 while the database is away, and from the moment at which the server begins to stop.',
  })
  ready() {
    return this.service.ready();
  }

  @Get('metrics')
  @MetricsOnly()
  @Bare()
  @Header('Content-Type', METRICS_TYPE)
  @Fails('AUTH_FAILED', 'NOT_FOUND')
  @ApiProduces(METRICS_TYPE)
  @ApiResponse({
    status: 200,
    description: 'A line for each number, with its labels; what each means is said beside it.',
    schema: { type: 'string', example: 'latchkey_validations_total{code="VALID",outcome="valid"} 42' },
  })
  @ApiOperation({
    summary: 'Metrics of this process',
    description:
      "In Prometheus' text format. With METRICS_TOKEN set: for who sends it as `Authorization: Bearer …`. Without: for the server's own machine, directly and not through a proxy; for everybody else it is not there. Behind a proxy set it.",
  })
  metrics() {
    return this.service.metrics();
  }

  @Get('docs/errors')
  // What is below /docs is counted before it comes here (app.ts).
  @Public({ limit: 'none' })
  @Bare()
  @Header('Content-Type', 'text/html; charset=utf-8')
  @ApiExcludeEndpoint()
  errors() {
    return this.service.errorReference();
  }
}
