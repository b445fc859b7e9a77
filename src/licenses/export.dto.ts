import { PickType } from '@nestjs/swagger';
import { LicensesQuery } from './licenses.dto.js';

/** Which licenses to export; absent = all. */
export class ExportQuery extends PickType(LicensesQuery, ['status', 'productId', 'policyId']) {}
