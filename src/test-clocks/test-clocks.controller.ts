import { Body, Controller, Delete, Get, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Requires } from '../auth/access.js';
import { type VendorPrincipal, Caller } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersCreated, AnswersNothing, AnswersOne, AnswersPage, Fails } from '../core/openapi.js';
import { PageQuery } from '../core/page.js';
import { AdvanceTestClockBody, CreateTestClockBody, TestClockView } from './test-clocks.dto.js';
import { TestClocksService } from './test-clocks.service.js';

@ApiTags('Test clocks')
@Controller('api/v1/test-clocks')
export class TestClocksController {
  constructor(private readonly testClocks: TestClocksService) {}

  @Post()
  @Requires('test-clocks:write')
  @AnswersCreated(TestClockView)
  @ApiOperation({
    summary: 'Create a test clock',
    description:
      'In the test environment only. A license that names it as its `testClockId` lives in its time, with its machines and ' +
      'all that falls due for them.',
  })
  create(@Caller() { tenant }: VendorPrincipal, @Body() body: CreateTestClockBody) {
    return this.testClocks.create(tenant, body);
  }

  @Get()
  @Requires('test-clocks:write')
  @AnswersPage(TestClockView)
  @ApiOperation({ summary: 'List test clocks', description: 'Newest first. The live environment has none.' })
  list(@Caller() { tenant }: VendorPrincipal, @Query() query: PageQuery) {
    return this.testClocks.list(tenant, query);
  }

  @Get(':id')
  @Requires('test-clocks:write')
  @AnswersOne(TestClockView)
  @ApiOperation({ summary: 'Get a test clock' })
  get(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.testClocks.get(tenant, id);
  }

  @Delete(':id')
  @Requires('test-clocks:write')
  @AnswersNothing()
  @Fails('TEST_CLOCK_HAS_LICENSES')
  @ApiOperation({ summary: 'Delete a test clock', description: 'Only when no license is attached to it.' })
  remove(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.testClocks.remove(tenant, id);
  }

  @Post(':id/advance')
  @Requires('test-clocks:write')
  @AnswersOne(TestClockView)
  @ApiOperation({
    summary: 'Advance a test clock',
    description:
      'Forward only. What falls due for its licenses up to and with that time happens before this answers, each at its own ' +
      'instant (`occurredAt` of its event) and in that order: licenses near their expiry and expire, machines die and are removed. ' +
      'All of it or nothing.',
  })
  advance(@Caller() { tenant }: VendorPrincipal, @PathId() id: string, @Body() body: AdvanceTestClockBody) {
    return this.testClocks.advance(tenant, id, body);
  }
}
