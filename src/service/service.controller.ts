import { Controller, Get, Header } from '@nestjs/common';
import { ApiExcludeEndpoint, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Public } from '../auth/access.js';
import { AnswersBare, Bare } from '../core/openapi.js';
import { HealthView, ReadinessView, RootView } from './service.dto.js';
import { ServiceService } from './service.service.js';

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
