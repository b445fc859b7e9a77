import { Param, type PipeTransform } from '@nestjs/common';
import { ApiParam } from '@nestjs/swagger';
import { isUUID, length } from 'class-validator';
import { invalid, notFound } from '../domain/errors.js';

/** An id that is no UUID names nothing: 404, like any other unknown id (contract: http.md). */
class IdPipe implements PipeTransform<string, string> {
  transform(value: string): string {
    if (!isUUID(value)) throw notFound('resource');
    return value.toLowerCase();
  }
}

/** `:id` of the path. */
export const PathId =
  (name = 'id'): ParameterDecorator =>
  (target, property, index) => {
    Param(name, new IdPipe())(target, property, index);
    if (property === undefined) return;
    const descriptor = Object.getOwnPropertyDescriptor(target, property);
    if (descriptor) ApiParam({ name, schema: { type: 'string', format: 'uuid' } })(target, property, descriptor);
  };

/** What a text is, in a body and in the path alike. */
interface TextRules {
  max: number;
  pattern: RegExp;
  /** What the pattern asks for, to follow the field's name. */
  patternHelp: string;
}

/** A name that somebody else gave: what it cannot be is 400, naming it. */
class TextPipe implements PipeTransform<string, string> {
  constructor(
    private readonly name: string,
    private readonly rules: TextRules,
  ) {}

  transform(value: string): string {
    const { max, pattern, patternHelp } = this.rules;
    if (!length(value, 1, max)) throw invalid([{ path: this.name, message: `must have 1 to ${String(max)} characters` }]);
    if (!pattern.test(value)) throw invalid([{ path: this.name, message: patternHelp }]);
    return value;
  }
}

/** A part of the path that is a text of the caller's, URL-encoded. */
export const PathText =
  (name: string, rules: TextRules): ParameterDecorator =>
  (target, property, index) => {
    Param(name, new TextPipe(name, rules))(target, property, index);
    if (property === undefined) return;
    const descriptor = Object.getOwnPropertyDescriptor(target, property);
    const schema = { type: 'string', minLength: 1, maxLength: rules.max, pattern: rules.pattern.source };
    if (descriptor) ApiParam({ name, schema })(target, property, descriptor);
  };
