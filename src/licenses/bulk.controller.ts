import { Body, Controller, Get, Post, Query, Req, Res } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiExtraModels, ApiOperation, ApiResponse, ApiTags, getSchemaPath } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { Requires } from '../auth/access.js';
import { type VendorPrincipal, Caller } from '../auth/principal.js';
import { NDJSON, sendLines } from '../core/lines.js';
import { AnswersCreatedList, AnswersOne, Bare, Fails } from '../core/openapi.js';
import { requireFile, TakesFile } from '../core/spool.js';
import { IMPORT_LIMIT_BYTES } from './bodies.js';
import { ExportQuery } from './export.dto.js';
import { ExportService } from './export.service.js';
import { ImportedLicense, ImportQuery, ImportReport } from './import.dto.js';
import { formatOfType } from './import.file.js';
import { ImportService } from './import.service.js';
import { BulkLicensesBody, LicenseView } from './licenses.dto.js';
import { LicensesService } from './licenses.service.js';

/** With an idempotency key a whole file is one transaction. */
const IMPORT_TIMEOUT_MS = 15 * 60_000;

const importHelp = `At most 64 MiB and 100,000 rows. Rows that cannot be taken are reported and the others are created, a few hundred in a transaction; with an \`Idempotency-Key\` the whole file is one. Limits of seats and uses are not enforced here.

NDJSON has one \`ImportedLicense\` a line. CSV has a header with its fields: an empty cell = absent, \`null\` = null; \`entitlements\` and \`machines\` as \`a;b\` or JSON, \`metadata\` as JSON or in columns \`metadata.<key>\`.

A vendor's own key, or a key that was generated here and is free, is kept; without one a key is generated.`;

@ApiTags('Licenses')
@Controller('api/v1/licenses')
export class BulkController {
  constructor(
    private readonly licenses: LicensesService,
    private readonly imports: ImportService,
    private readonly exports: ExportService,
  ) {}

  @Post('bulk')
  @Requires('licenses:write')
  @AnswersCreatedList(LicenseView)
  @Fails('NOT_FOUND', 'CONFLICT')
  @ApiOperation({
    summary: 'Create many licenses',
    description: 'All of them or none; the body may have 4 MiB. Problems are named like `licenses[3].policyId`.',
  })
  createMany(@Caller() caller: VendorPrincipal, @Body() body: BulkLicensesBody) {
    return this.licenses.createMany(caller, body);
  }

  @Post('import')
  @Requires('licenses:write')
  @TakesFile({ types: Object.keys(formatOfType), limitBytes: IMPORT_LIMIT_BYTES, workTimeoutMs: IMPORT_TIMEOUT_MS })
  @ApiExtraModels(ImportedLicense)
  @ApiConsumes(NDJSON, 'text/csv')
  @ApiBody({ required: true, schema: { $ref: getSchemaPath(ImportedLicense) } })
  @AnswersOne(ImportReport, 'What became of each row.')
  @ApiOperation({ summary: 'Import licenses from CSV or NDJSON', description: importHelp })
  import(@Caller() caller: VendorPrincipal, @Query() { dryRun = false }: ImportQuery, @Req() request: Request) {
    const { contentType, read } = requireFile(request);
    return this.imports.import(caller, { format: formatOfType[contentType] ?? 'ndjson', read }, { dryRun });
  }

  @Get('export')
  @Requires('licenses:read')
  @Bare()
  @ApiExtraModels(ImportedLicense)
  @ApiResponse({
    status: 200,
    description: 'A line for each, oldest first.',
    content: { [NDJSON]: { schema: { $ref: getSchemaPath(ImportedLicense) } } },
  })
  @ApiOperation({
    summary: 'Export licenses as NDJSON',
    description:
      'With keys and states, as import takes them; with machines for a caller with machines:read. A connection that ends without its last chunk is an export that was cut.',
  })
  export(@Caller() caller: VendorPrincipal, @Query() query: ExportQuery, @Res() response: Response) {
    return sendLines(response, this.exports.lines(caller, query));
  }
}
