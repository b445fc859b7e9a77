import { Body, Controller, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Public, Requires } from '../auth/access.js';
import { type VendorPrincipal, Caller } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersOne, Fresh } from '../core/openapi.js';
import { ExplanationView, ValidateBody, ValidateKeyBody, ValidationView } from './validation.dto.js';
import { ValidationService } from './validation.service.js';

@ApiTags('Validation')
@Controller('api/v1/licenses')
export class ValidationController {
  constructor(private readonly validation: ValidationService) {}

  @Post('validate-key')
  @Public({ crossOrigin: true, limit: 'none' })
  @Fresh()
  @AnswersOne(ValidationView, 'The verdict: also for a license that is not valid, and for a key that does not exist.')
  @ApiOperation({
    summary: 'May this copy run?',
    description:
      'No authentication: the key is in the body. Rules are asked in a fixed order and the first that fails is the `code`; tolerated things are `warnings`.',
  })
  validateKey(@Body() body: ValidateKeyBody) {
    return this.validation.validateKey(body);
  }

  @Post(':id/validate')
  @Requires('licenses:read')
  @Fresh()
  @AnswersOne(ValidationView, 'The verdict: also for a license that is not valid.')
  @ApiOperation({
    summary: 'Validate a license by its id',
    description: 'As validate-key does by the key, for a server that knows its customer: the same decision, and it leaves the same.',
  })
  validate(@Caller() caller: VendorPrincipal, @PathId() id: string, @Body() body: ValidateBody) {
    return this.validation.validate(caller.tenant, id, body);
  }

  @Post(':id/explain')
  @Requires('licenses:read')
  @Fresh()
  @AnswersOne(ExplanationView, 'What validating it would answer, and why.')
  @ApiOperation({
    summary: 'Explain what validation would say',
    description: 'Every rule, with its outcome and the values that it compared. Nothing is counted, started, written or announced.',
  })
  explain(@Caller() caller: VendorPrincipal, @PathId() id: string, @Body() body: ValidateBody) {
    return this.validation.explain(caller.tenant, id, body);
  }
}
