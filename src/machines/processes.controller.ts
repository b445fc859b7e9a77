import { Body, Controller, Delete, Get, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { RequiresOrLicense } from '../auth/access.js';
import { Caller, type TenantPrincipal } from '../auth/principal.js';
import { PathId, PathText } from '../core/identifier.js';
import { AnswersCreated, AnswersExisting, AnswersNothing, AnswersOne, AnswersPage, Fails, Fresh } from '../core/openapi.js';
import { licenseStateCodes } from '../domain/errors.js';
import { PID, ProcessesQuery, ProcessView, StartProcessBody } from './processes.dto.js';
import { ProcessesService } from './processes.service.js';

@ApiTags('Machines')
@Controller('api/v1/machines/:id/processes')
export class ProcessesController {
  constructor(private readonly processes: ProcessesService) {}

  @Post()
  @RequiresOrLicense('machines:write')
  @AnswersCreated(ProcessView, 'A new lease; `Location` says where it beats and ends.')
  @AnswersExisting(ProcessView, 'The process has a lease already; this was a beat of it.')
  @Fails(...licenseStateCodes, 'MACHINE_DEAD', 'PROCESS_LIMIT_EXCEEDED')
  @ApiOperation({
    summary: 'Start a process',
    description:
      'Takes a process lease, which ends when two heartbeat intervals pass without a beat. Idempotent by `pid` while it is in force. Over the limit, `details.processes` lists what could be ended.',
  })
  start(@Caller() caller: TenantPrincipal, @PathId() id: string, @Body() body: StartProcessBody) {
    return this.processes.start(caller, id, body);
  }

  @Get()
  @RequiresOrLicense('machines:read')
  @AnswersPage(ProcessView)
  @ApiOperation({ summary: 'List the processes of a machine', description: 'Those whose lease is in force, newest first.' })
  list(@Caller() caller: TenantPrincipal, @PathId() id: string, @Query() query: ProcessesQuery) {
    return this.processes.list(caller, id, query);
  }

  @Delete(':pid')
  @RequiresOrLicense('machines:write')
  @AnswersNothing()
  @ApiOperation({ summary: 'End a process', description: 'Gives its lease back, in every state of the license.' })
  end(@Caller() caller: TenantPrincipal, @PathId() id: string, @PathText('pid', PID) pid: string) {
    return this.processes.end(caller, id, pid);
  }

  @Post(':pid/heartbeat')
  @RequiresOrLicense('machines:write')
  @Fresh()
  @AnswersOne(ProcessView, 'The lease; `nextHeartbeatAt` says when to beat again at the latest.')
  @Fails(...licenseStateCodes)
  @ApiOperation({
    summary: 'Send a heartbeat of a process',
    description: 'Answered once it is stored. 404 for a lease that has ended: start the process again. No beat of its machine.',
  })
  heartbeat(@Caller() caller: TenantPrincipal, @PathId() id: string, @PathText('pid', PID) pid: string) {
    return this.processes.heartbeat(caller, id, pid);
  }
}
