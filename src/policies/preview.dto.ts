import { Choice, Integer, Nested, TextList } from '../core/fields.js';
import { type ValidationCode, validationMessages } from '../domain/validation.js';
import type { VerdictChange } from './preview.query.js';

export class VerdictChangeView {
  @Choice(Object.keys(validationMessages), { help: 'Code of validation as the policy is.', example: 'VALID' })
  from!: ValidationCode;

  @Choice(Object.keys(validationMessages), { help: 'Code of validation under the changed policy.', example: 'MACHINE_LIMIT_EXCEEDED' })
  to!: ValidationCode;

  @Integer({ help: 'How many licenses go from one to the other.', min: 1, example: 3 })
  count!: number;

  @TextList({
    help: 'Ids of the newest of these licenses.',
    min: 36,
    max: 36,
    minItems: 1,
    maxItems: 20,
    example: ['0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e'],
  })
  samples!: string[];
}

export class PolicyPreviewView {
  @Integer({ help: 'How many licenses would change their code.', example: 3 })
  licenses!: number;

  @Integer({ help: 'How many active machines these licenses have.', example: 7 })
  machines!: number;

  @Nested(() => VerdictChangeView, { help: 'Which codes change to which, the most frequent first.', list: true })
  changes!: VerdictChangeView[];
}

export function toPolicyPreviewView(changes: readonly VerdictChange[]): PolicyPreviewView {
  const sum = (field: 'count' | 'machines'): number => changes.reduce((total, change) => total + change[field], 0);
  return {
    licenses: sum('count'),
    machines: sum('machines'),
    changes: changes.map(({ from, to, count, samples }) => ({ from, to, count, samples })),
  };
}
