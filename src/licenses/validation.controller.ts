import { Body, Controller, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Public } from '../auth/access.js';
import { AnswersOne, Fresh } from '../core/openapi.js';
import { ValidateKeyBody, ValidationView } from './validation.dto.js';
import { ValidationService } from './validation.service.js';

@ApiTags('Validation')
@Controller('api/v1/licenses')
export class ValidationController {
  constructor(private readonly validation: ValidationService) {}

  @Post('validate-key')
  @Public({ crossOrigin: true })
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
}
