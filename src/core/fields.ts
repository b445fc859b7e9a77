import { applyDecorators } from '@nestjs/common';
import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger';
import { Transform, Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  ArrayUnique,
  IsArray,
  IsBoolean,
  IsDate,
  IsEmail,
  IsIn,
  IsInt,
  IsString,
  IsUrl,
  IsUUID,
  Length,
  Matches,
  Max,
  Min,
  ValidateBy,
  ValidateIf,
  ValidateNested,
  isISO8601,
  registerDecorator,
} from 'class-validator';
import { rangeIssue } from '../domain/addresses.js';
import { parseDate } from '../domain/buckets.js';
import { patternIssue } from '../domain/events.js';
import { metadataProblem } from '../domain/metadata.js';
import { isVersion, isVersionRange } from '../domain/versions.js';

/**
 * One decorator a field: what it accepts and how the API reference describes it, said once. Bodies and queries use them
 * to check, views only to describe.
 */
interface FieldOptions {
  /** Meaning, unit, and what an absent value stands for. */
  help: string;
  example?: unknown;
  /** The field may be left out. */
  optional?: boolean;
  /** null is a value of its own: "none", or in a PATCH "take it away". */
  nullable?: boolean;
  /** What an absent field becomes; only described here. */
  default?: unknown;
}

interface RangeOptions {
  min?: number;
  max?: number;
}

/** PostgreSQL's `integer`. */
export const MAX_INTEGER = 2_147_483_647;
const MAX_YEAR = 9999;

interface TextOptions extends FieldOptions {
  min?: number;
  max: number;
  pattern?: RegExp;
  /** What the pattern asks for, to follow "must". */
  patternHelp?: string;
}

export function Text(options: TextOptions): PropertyDecorator {
  const { min = 1, max, pattern } = options;
  const matches = pattern === undefined ? [] : [Matches(pattern, { message: options.patternHelp ?? `must match ${pattern.source}` })];
  return field(options, { type: String, minLength: min, maxLength: max, pattern: pattern?.source }, [...textChecks(min, max), ...matches]);
}

/** A semantic version, or with `range` a range over them. */
export function Version(options: FieldOptions & { range?: boolean }): PropertyDecorator {
  const [holds, message] =
    options.range === true
      ? [isVersionRange, 'must be a semver range, like >=1.0.0 <3.0.0']
      : [isVersion, 'must be a semantic version, like 1.4.2'];
  const check: PropertyDecorator = (target, property) => {
    const validator = { validate: (value: unknown) => typeof value === 'string' && holds(value), defaultMessage: () => message };
    registerDecorator({ name: 'isVersion', target: target.constructor, propertyName: property as string, validator });
  };
  return field(options, { type: String, minLength: 1, maxLength: 255 }, [...textChecks(1, 255), check]);
}

/** A list of texts without repetition, each checked like `Text`. */
export function TextList(options: TextOptions & { minItems?: number; maxItems: number; unique?: boolean }): PropertyDecorator {
  const { min = 1, max, pattern } = options;
  const each = { each: true };
  const checks = [
    ...listChecks(options),
    IsString({ ...each, message: 'must be strings' }),
    Length(min, max, { ...each, message: `each ${lengthMessage(min, max)}` }),
    ...(pattern === undefined ? [] : [Matches(pattern, { ...each, message: options.patternHelp ?? `each must match ${pattern.source}` })]),
  ];
  return field(
    options,
    { type: 'array', items: { type: 'string', minLength: min, maxLength: max, pattern: pattern?.source }, ...listSchema(options) },
    checks,
  );
}

/** Longer than any address with a length; and never handed on to what reads addresses. */
const MAX_RANGE_LENGTH = 64;

/** A list of CIDR ranges and plain addresses. */
export function AddressRanges(options: FieldOptions & { maxItems: number }): PropertyDecorator {
  const validate = (value: unknown): boolean => typeof value === 'string' && value.length <= MAX_RANGE_LENGTH && rangeIssue(value) === null;
  const check = ValidateBy(
    { name: 'isAddressRange', validator: { validate, defaultMessage: () => `each ${rangeIssue('') ?? ''}` } },
    { each: true },
  );
  const items = { type: 'string', minLength: 1, maxLength: MAX_RANGE_LENGTH };
  return field({ example: ['203.0.113.0/24', '2001:db8::/32'], ...options }, { type: 'array', items, ...listSchema(options) }, [
    ...listChecks(options),
    check,
  ]);
}

const MAX_EVENT_PATTERNS = 50;
/** Characters of what was wrong. */
const MAX_SHOWN = 200;

/** A list of types of events, and patterns of them. */
export function EventPatterns(options: FieldOptions): PropertyDecorator {
  const rules = { minItems: 1, maxItems: MAX_EVENT_PATTERNS };
  const validate = (value: unknown): boolean => typeof value === 'string' && patternIssue(value) === null;
  const wrong = (value: unknown): string =>
    (Array.isArray(value) ? value : [])
      .filter((item) => !validate(item))
      .map(String)
      .join(', ')
      .slice(0, MAX_SHOWN);
  const check = ValidateBy(
    {
      name: 'isEventPattern',
      validator: {
        validate,
        defaultMessage: (where) =>
          `each ${patternIssue('') ?? ''}; not so: ${wrong((where?.object as Record<string, unknown> | undefined)?.[where?.property ?? ''])}`,
      },
    },
    { each: true },
  );
  const items = { type: 'string', minLength: 1, maxLength: 64 };
  return field({ example: ['license.*', 'machine.dead'], ...options }, { type: 'array', items, ...listSchema(rules) }, [
    ...listChecks(rules),
    check,
  ]);
}

export function Email(options: FieldOptions): PropertyDecorator {
  const checks = [...textChecks(3, 254), IsEmail({}, { message: 'must be an e-mail address' })];
  return field({ example: 'ada@example.com', ...options }, { type: String, format: 'email', maxLength: 254 }, checks);
}

export function Url(options: FieldOptions): PropertyDecorator {
  const checks = [
    ...textChecks(1, 2000),
    IsUrl({ protocols: ['http', 'https'], require_protocol: true, require_tld: false }, { message: 'must be an http or https URL' }),
  ];
  return field({ example: 'https://example.com', ...options }, { type: String, format: 'uri', maxLength: 2000 }, checks);
}

export function Id(options: FieldOptions): PropertyDecorator {
  const checks = [IsUUID('all', { message: 'must be a UUID' })];
  return field({ example: '0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e', ...options }, { type: String, format: 'uuid' }, checks);
}

/** A whole number; the bounds default to what is natural and can be stored: 0 … 2³¹ − 1. */
export function Integer(options: FieldOptions & RangeOptions): PropertyDecorator {
  const { min = 0, max = MAX_INTEGER } = options;
  return field(options, { type: 'integer', minimum: min, maximum: max }, integerChecks(min, max));
}

/** A whole number in a query, where everything arrives as text. */
export function QueryInteger(options: FieldOptions & RangeOptions): PropertyDecorator {
  const { min = 0, max = MAX_INTEGER } = options;
  const fromText = Transform(({ value }: { value: unknown }) =>
    typeof value === 'string' && /^-?\d{1,15}$/.test(value) ? Number(value) : value,
  );
  return field(options, { type: 'integer', minimum: min, maximum: max }, [fromText, ...integerChecks(min, max)]);
}

export function Flag(options: FieldOptions): PropertyDecorator {
  return field(options, { type: Boolean }, [IsBoolean({ message: 'must be true or false' })]);
}

/** true or false in a query, where everything arrives as text. */
export function QueryFlag(options: FieldOptions): PropertyDecorator {
  const fromText = Transform(({ value }: { value: unknown }) => (value === 'true' ? true : value === 'false' ? false : value));
  return field(options, { type: Boolean }, [fromText, IsBoolean({ message: 'must be true or false' })]);
}

export function Choice(values: readonly string[], options: FieldOptions): PropertyDecorator {
  const checks = [IsIn(values, { message: `must be one of ${values.join(', ')}` })];
  return field({ example: values[0], ...options }, { type: String, enum: [...values] }, checks);
}

export function ChoiceList(values: readonly string[], options: FieldOptions): PropertyDecorator {
  const checks = [
    ...listChecks({ maxItems: values.length }),
    IsIn(values, { each: true, message: `must each be one of ${values.join(', ')}` }),
  ];
  return field(options, { type: 'array', items: { type: 'string', enum: [...values] }, uniqueItems: true }, checks);
}

/** ISO-8601 with a zone; becomes a Date. Answers are always UTC with milliseconds. */
export function Timestamp(options: FieldOptions): PropertyDecorator {
  const toDate = Transform(({ value }: { value: unknown }) => (typeof value === 'string' ? parseTimestamp(value) : value));
  const checks = [toDate, IsDate({ message: 'must be an ISO-8601 time with a zone, like 2026-01-15T10:30:00.000Z' })];
  return field({ example: '2026-01-15T10:30:00.000Z', ...options }, { type: String, format: 'date-time' }, checks);
}

/** A day (`2026-01-15`) or a month (`2026-01`), UTC; becomes the Date of its start. */
export function CalendarDate(options: FieldOptions & { unit: 'day' | 'month' }): PropertyDecorator {
  const { unit } = options;
  const [example, pattern] = unit === 'day' ? ['2026-01-15', '^\\d{4}-\\d{2}-\\d{2}$'] : ['2026-01', '^\\d{4}-\\d{2}$'];
  const toDate = Transform(({ value }: { value: unknown }) => (typeof value === 'string' ? (parseDate(value, unit) ?? value) : value));
  return field({ example, ...options }, { type: String, pattern }, [toDate, IsDate({ message: `must be a ${unit}, like ${example}` })]);
}

/** The vendor's own flat data. */
export function MetadataField(options: Partial<FieldOptions> = {}): PropertyDecorator {
  const check: PropertyDecorator = (target, property) => {
    registerDecorator({
      name: 'isMetadata',
      target: target.constructor,
      propertyName: property as string,
      validator: {
        validate: (value: unknown) => metadataProblem(value) === null,
        defaultMessage: (args) => metadataProblem(args?.value) ?? '',
      },
    });
  };
  const help =
    "The vendor's own data: a flat object of strings, numbers, booleans and null; at most 50 keys of at most 64 characters, 16 KiB in all. Keys cannot be names that every JavaScript object has, like `constructor`.";
  return field(
    { help, example: { orderId: 'A-1042' }, ...options },
    { type: 'object', additionalProperties: { type: ['string', 'number', 'boolean', 'null'] } as never, maxProperties: 50 },
    // As it came: class-transformer must not look into it for classes.
    [Transform(({ obj, key }: { obj: Record<string, unknown>; key: string }) => obj[key]), check],
  );
}

/** A list of objects, each checked by its own class. */
export function ObjectList(
  type: () => new () => object,
  options: FieldOptions & { minItems?: number; maxItems: number },
): PropertyDecorator {
  const checks = [
    ...listChecks({ ...options, unique: false }),
    // Nested validation would look into lists in the list, and find every one of their objects to be in order.
    ValidateBy({ name: 'isFlat', validator: { validate: isFlat, defaultMessage: () => 'must be objects' } }),
    ValidateNested({ each: true, message: 'must be objects' }),
    Type(type),
  ];
  return field(options, { type: () => type(), isArray: true, ...listSchema({ ...options, unique: false }) }, checks);
}

/** Part of an answer: an object of another view. Not for input. */
export function Nested(type: () => new () => object, options: FieldOptions & { list?: boolean }): PropertyDecorator {
  // Swagger takes a function for a late reference only when it is called `type`.
  return field(options, { type: () => type(), isArray: options.list === true }, []);
}

/** Part of an answer: a share of something, where 1 is all of it. Not for input. */
export function Fraction(options: FieldOptions): PropertyDecorator {
  return field(options, { type: 'number', minimum: 0 }, []);
}

/** Part of an answer: how many there are, by name. Not for input. */
export function CountsByName(options: FieldOptions): PropertyDecorator {
  return field(options, { type: 'object', additionalProperties: { type: 'integer' } }, []);
}

/** Part of an answer: an object whose fields depend on what it is about. Not for input. */
export function AnyObject(options: FieldOptions): PropertyDecorator {
  return field(options, { type: 'object', additionalProperties: true }, []);
}

function field(options: FieldOptions, schema: object, checks: PropertyDecorator[]): PropertyDecorator {
  const described = {
    ...schema,
    description: options.help,
    required: options.optional !== true,
    ...(options.nullable === true ? { nullable: true } : {}),
    ...(options.example === undefined ? {} : { example: options.example }),
    ...(options.default === undefined ? {} : { default: options.default }),
  } as ApiPropertyOptions;
  const mayBeSkipped = ValidateIf(
    (_, value: unknown) => !((options.optional === true && value === undefined) || (options.nullable === true && value === null)),
  );
  // Decorators register in the order in which they are applied, and the first check that fails is the one reported.
  return applyDecorators(ApiProperty(described), mayBeSkipped, ...checks);
}

function textChecks(min: number, max: number): PropertyDecorator[] {
  return [IsString({ message: 'must be a string' }), Length(min, max, { message: lengthMessage(min, max) })];
}

function integerChecks(min: number, max: number): PropertyDecorator[] {
  return [
    IsInt({ message: 'must be a whole number' }),
    Min(min, { message: `must be at least ${String(min)}` }),
    Max(max, { message: `must be at most ${String(max)}` }),
  ];
}

function listChecks({
  minItems = 0,
  maxItems,
  unique = true,
}: {
  minItems?: number;
  maxItems: number;
  unique?: boolean;
}): PropertyDecorator[] {
  return [
    IsArray({ message: 'must be a list' }),
    ArrayMinSize(minItems, { message: `must have at least ${String(minItems)} ${minItems === 1 ? 'item' : 'items'}` }),
    ArrayMaxSize(maxItems, { message: `must have at most ${String(maxItems)} items` }),
    ...(unique ? [ArrayUnique({ message: 'must not name anything twice' })] : []),
  ];
}

function listSchema({ minItems = 0, maxItems, unique = true }: { minItems?: number; maxItems: number; unique?: boolean }): object {
  return { minItems, maxItems, ...(unique ? { uniqueItems: true } : {}) };
}

function isFlat(list: unknown): boolean {
  return !Array.isArray(list) || !list.some(Array.isArray);
}

function lengthMessage(min: number, max: number): string {
  return min === max ? `must have ${String(min)} characters` : `must have ${String(min)} to ${String(max)} characters`;
}

function parseTimestamp(text: string): Date | string {
  if (!isISO8601(text, { strict: true, strictSeparator: true }) || !/T.*(Z|[+-]\d{2}:?\d{2})$/.test(text)) return text;
  const time = new Date(text);
  return Number.isNaN(time.getTime()) || time.getUTCFullYear() > MAX_YEAR || time.getUTCFullYear() < 1 ? text : time;
}
