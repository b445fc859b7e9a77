import { Param, type PipeTransform } from '@nestjs/common';
import { ApiParam } from '@nestjs/swagger';
import { isUUID } from 'class-validator';
import { notFound } from '../domain/errors.js';

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
