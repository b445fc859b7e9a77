import { applyDecorators, HttpCode, type INestApplication, SetMetadata } from '@nestjs/common';
import {
  ApiExtension,
  ApiExtraModels,
  ApiResponse,
  DocumentBuilder,
  getSchemaPath,
  type OpenAPIObject,
  SwaggerModule,
} from '@nestjs/swagger';
import { STATUS_CODES } from 'node:http';
import { errorCodes, type ErrorCode } from '../domain/errors.js';
import { IDEMPOTENCY_HEADER, MAX_IDEMPOTENCY_KEY_LENGTH } from '../domain/idempotency.js';
import { scopes } from '../domain/scopes.js';
import { addTenantHints, challengeHeader, describeRateLimits, type Parameter, rateLimitHeaderDescriptions } from './openapi-headers.js';

/** What routes say about their answers, and the OpenAPI 3.1 document that is made of it. */

type View = new (...args: never[]) => object;

const BARE = 'latchkey:bare';
const FRESH = 'latchkey:fresh';
const FAILS_EXTENSION = 'x-latchkey-fails';
const FRESH_EXTENSION = 'x-latchkey-fresh';

/** 200 with one thing in the envelope. */
export const AnswersOne = (view: View, description = 'The resource.'): MethodDecorator => answers(200, view, description);

/** 201 with the new thing in the envelope, and where it is. */
export const AnswersCreated = (view: View, description = 'The new resource; `Location` says where it is.'): MethodDecorator =>
  answers(201, view, description);

/** 201 with many new things in the envelope, in the order in which they were sent. */
export const AnswersCreatedList = (view: View): MethodDecorator =>
  applyDecorators(
    HttpCode(201),
    ApiExtraModels(view),
    ApiResponse({ status: 201, description: 'All of them, in order.', schema: listOf([view]) }),
  );

/** 202 with what was accepted in the envelope: it is done a moment later. */
export const AnswersAccepted = (view: View, description: string): MethodDecorator => answers(202, view, description);

/** Beside 201: 200 with what was there already. */
export const AnswersExisting = (view: View, description = 'It was there already; nothing changed.'): MethodDecorator =>
  described(200, view, description);

/** 200 with a page of things. */
export const AnswersPage = (view: View): MethodDecorator =>
  applyDecorators(
    HttpCode(200),
    ApiExtraModels(view),
    ApiResponse({
      status: 200,
      description: 'One page.',
      schema: {
        type: 'object',
        required: ['data', 'pagination'],
        properties: {
          data: { type: 'array', items: { $ref: getSchemaPath(view) } },
          pagination: { $ref: '#/components/schemas/Pagination' },
        },
      },
    }),
  );

/** 200 with all there is, and no further pages; each thing is one of these views. */
export const AnswersList = (...views: [View, ...View[]]): MethodDecorator =>
  applyDecorators(
    HttpCode(200),
    ApiExtraModels(...views),
    ApiResponse({
      status: 200,
      description: 'All of them.',
      schema: listOf(views),
    }),
  );

function listOf(views: View[]): { type: 'object'; required: string[]; properties: Record<string, object> } {
  return { type: 'object', required: ['data'], properties: { data: { type: 'array', items: oneOrAnyOf(views) } } };
}

function oneOrAnyOf(views: View[]): object {
  const [first, ...others] = views.map((view) => ({ $ref: getSchemaPath(view) }));
  return others.length === 0 ? (first ?? {}) : { anyOf: [first, ...others] };
}

/** 204. */
export const AnswersNothing = (): MethodDecorator => applyDecorators(HttpCode(204), ApiResponse({ status: 204, description: 'Done.' }));

/** The answer is sent as the handler gives it. */
export const Bare = (): MethodDecorator => SetMetadata(BARE, true);

/** An object outside of the envelope. */
export const AnswersBare = (view: View, description: string): MethodDecorator =>
  applyDecorators(
    HttpCode(200),
    Bare(),
    ApiExtraModels(view),
    ApiResponse({ status: 200, description, schema: { $ref: getSchemaPath(view) } }),
  );

export function isBare(handler: object): boolean {
  return Reflect.getMetadata(BARE, handler) === true;
}

/** A POST that says how things are now: it ignores `Idempotency-Key`. */
export const Fresh = (): MethodDecorator => applyDecorators(SetMetadata(FRESH, true), ApiExtension(FRESH_EXTENSION, true));

export function isFresh(handler: object): boolean {
  return Reflect.getMetadata(FRESH, handler) === true;
}

/** The route's own refusals, besides those that every route has. */
export const Fails = (...codes: ErrorCode[]): MethodDecorator => ApiExtension(FAILS_EXTENSION, codes);

function answers(status: 200 | 201 | 202, view: View, description: string): MethodDecorator {
  return applyDecorators(HttpCode(status), described(status, view, description));
}

function described(status: 200 | 201 | 202, view: View, description: string): MethodDecorator {
  return applyDecorators(
    ApiExtraModels(view),
    ApiResponse({
      status,
      description,
      schema: { type: 'object', required: ['data'], properties: { data: { $ref: getSchemaPath(view) } } },
      ...(status === 201 ? { headers: { Location: { description: 'Path of the new resource.', schema: { type: 'string' } } } } : {}),
    }),
  );
}

interface Operation {
  security?: Record<string, string[]>[];
  parameters?: Parameter[];
  requestBody?: object;
  responses: Record<string, object>;
  [FAILS_EXTENSION]?: ErrorCode[];
  [FRESH_EXTENSION]?: true;
}

/** The whole document: what the decorators say, and what holds for every route. */
export function createOpenApi(app: INestApplication, version: string): OpenAPIObject {
  const builder = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Latchkey')
    .setVersion(version)
    .setDescription(introduction)
    .setLicense('MIT', '')
    .addServer('/')
    .addBearerAuth(
      {
        type: 'http',
        description:
          'An API key, `lk_live_…` or `lk_test_…`; a user key, `lk_user_…`; or a short-lived token of either. `Authorization: ApiKey <key>` is equal. A user with several accounts names one with `X-Account-Id` (id or slug), and the environment with `X-Environment` (`live`, which is the default, or `test`).',
      },
      'apiKey',
    )
    .addApiKey({ type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'An API key in a header of its own.' }, 'apiKeyHeader')
    .addApiKey(
      {
        type: 'apiKey',
        in: 'query',
        name: 'api_key',
        description: 'The same in the query, for browsers, which open streams without headers of their own. In no log.',
      },
      'apiKeyQuery',
    )
    .addApiKey(
      {
        type: 'apiKey',
        in: 'header',
        name: 'Authorization',
        description: '`License <license key>`: for its own license only. A vendor-chosen key needs `X-Account-Id` beside it.',
      },
      'license',
    )
    .addBearerAuth({ type: 'http', description: 'A user key, `lk_user_…`, or a token of one.' }, 'userKey')
    .addBearerAuth({ type: 'http', description: "The operator's platform token." }, 'platform');
  for (const [name, description] of Object.entries(tags)) builder.addTag(name, description);
  const document = SwaggerModule.createDocument(app, builder.build(), {
    operationIdFactory: (controller, method) => `${controller.replace(/Controller$/, '')}_${method}`,
  });
  document.components = { ...document.components, schemas: { ...document.components?.schemas, ...sharedSchemas } };
  for (const schema of Object.entries(document.components.schemas ?? {}))
    requireEveryFieldOfViews(...(schema as [string, { properties?: object; required?: string[] }]));
  describeChanges(document.components.schemas ?? {});
  document.components.headers = { ...document.components.headers, ...rateLimitHeaderDescriptions };
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(operations as Record<string, Operation>)) {
      // Whoever watches over the server must always get an answer.
      const isLimited = !path.startsWith('/health/');
      addErrors(method, operation, isLimited);
      addTenantHints(operation);
      if (method === 'post') addIdempotency(operation);
      if (isLimited) describeRateLimits(operation.responses);
      // `metadata[key]=value`
      for (const parameter of operation.parameters ?? []) {
        if (parameter.in === 'query' && parameter.name === 'metadata') Object.assign(parameter, { style: 'deepObject', explode: true });
      }
    }
  }
  return document;
}

const introduction = `Latchkey issues license keys, answers "may this copy run?", counts machines exactly, and keeps every vendor's data apart.

Every answer is \`{ "data": … }\`, lists with \`pagination\`; every error has a stable \`code\` (see [all codes](/docs/errors)).
Times are ISO-8601 UTC with milliseconds, ids are UUIDs. Unknown fields and parameters are refused. \`X-Request-Id\` comes back on every answer.

Scopes of API keys:

${Object.entries(scopes)
  .map(([name, help]) => `- \`${name}\` – ${help}`)
  .join('\n')}`;

const tags = {
  Validation: 'May this copy run?',
  Authentication: 'Short-lived tokens, scopes, and what a user key opens.',
  Accounts: 'Vendors, each with a live and a test environment.',
  Users: 'People who work for the vendor, each with a role, and their own keys.',
  'API keys': 'Credentials of dashboards and back offices.',
  Products: 'What is sold.',
  Policies: 'The rules that licenses of a product follow.',
  Entitlements: 'Features that policies and licenses grant.',
  Licenses: 'What a customer holds.',
  Machines: 'Where a license runs: one seat each.',
  'Test clocks': 'Time that is turned by hand, for licenses of the test environment.',
  'Signing keys': 'What signed answers and license files are checked with.',
  Events: 'What happened, as webhooks and streams are told of it.',
  Webhooks: 'Addresses of the vendor that are told of events, and what was sent to them.',
  Analytics: 'How business goes, in numbers.',
  'Audit log': 'Who did what to which resource when, and who was refused.',
  Service: 'The server itself.',
};

const sharedSchemas = {
  Pagination: {
    type: 'object',
    required: ['nextCursor', 'hasMore'],
    properties: {
      nextCursor: { type: ['string', 'null'], description: 'Pass it as `cursor` for the next page; null on the last.', example: null },
      hasMore: { type: 'boolean', example: false },
    },
  },
  Error: {
    type: 'object',
    required: ['error', 'code', 'message', 'requestId'],
    properties: {
      error: { type: 'string', description: 'The HTTP reason phrase.', example: 'Not Found' },
      code: { type: 'string', enum: Object.keys(errorCodes), description: 'Stable; switch on this.', example: 'NOT_FOUND' },
      message: { type: 'string', description: 'For people.', example: 'No such license.' },
      requestId: { type: 'string', example: '0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e' },
      details: { type: 'object', description: 'What else helps; depends on the code.', additionalProperties: true },
    },
  },
  Problem: {
    type: 'object',
    description: 'RFC 9457: the same facts, for `Accept: application/problem+json`.',
    required: ['type', 'title', 'status', 'detail', 'instance', 'code', 'requestId'],
    properties: {
      type: { type: 'string', format: 'uri-reference', example: '/docs/errors#NOT_FOUND' },
      title: { type: 'string', example: 'Not found' },
      status: { type: 'integer', example: 404 },
      detail: { type: 'string', example: 'No such license.' },
      instance: { type: 'string', example: '/api/v1/licenses/0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e' },
      code: { type: 'string', enum: Object.keys(errorCodes), example: 'NOT_FOUND' },
      requestId: { type: 'string', example: '0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e' },
      details: { type: 'object', additionalProperties: true },
    },
  },
};

/** A view answers every one of its fields, always. */
function requireEveryFieldOfViews(name: string, schema: { properties?: object; required?: string[] }): void {
  if (name.endsWith('View')) schema.required = Object.keys(schema.properties ?? {});
}

/** In a change an absent field stays as it is: whoever filled in the defaults of creation would clear fields. */
function describeChanges(schemas: Record<string, object>): void {
  for (const [name, schema] of Object.entries(schemas)) {
    if (!name.startsWith('Update')) continue;
    for (const property of Object.values((schema as { properties?: Record<string, object> }).properties ?? {}))
      Reflect.deleteProperty(property, 'default');
  }
}

/** The refusals that follow from what a route takes, and its own. */
function addErrors(method: string, operation: Operation, isLimited: boolean): void {
  const needsCredential = (operation.security ?? []).length > 0;
  const codes = new Set<ErrorCode>(operation[FAILS_EXTENSION] ?? []);
  const add = (when: boolean, ...more: ErrorCode[]): void => {
    if (when) for (const code of more) codes.add(code);
  };
  // Also where no input is taken: what nobody reads is refused.
  add(true, 'VALIDATION_ERROR');
  add(operation.parameters?.some((parameter) => parameter.name === 'cursor') === true, 'INVALID_CURSOR');
  // Also where no body is taken: it is read before the route is known.
  add(['post', 'put', 'patch'].includes(method), 'MALFORMED_JSON', 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE');
  add(
    needsCredential,
    'AUTH_FAILED',
    'API_KEY_EXPIRED',
    'API_KEY_REVOKED',
    'TOKEN_EXPIRED',
    'INSUFFICIENT_SCOPE',
    'IP_NOT_ALLOWED',
    'ACCOUNT_SUSPENDED',
  );
  add(operation.parameters?.some((parameter) => parameter.in === 'path') === true, 'NOT_FOUND');
  add(isLimited, 'RATE_LIMITED');
  add(true, 'INTERNAL_ERROR', 'UNAVAILABLE');
  Reflect.deleteProperty(operation, FAILS_EXTENSION);
  for (const code of codes) addError(operation.responses, code);
  if ('401' in operation.responses) operation.responses['401'] = { ...operation.responses['401'], headers: challengeHeader };
}

/** Refusals that come before a key is looked at, or settle nothing: these are never replayed. */
const NEVER_REPLAYED = new Set(['401', '413', '415', '429', '500', '503']);

/** What `Idempotency-Key` adds to a POST; nothing to one whose answers must be fresh. */
function addIdempotency(operation: Operation): void {
  const isFresh = operation[FRESH_EXTENSION] === true;
  Reflect.deleteProperty(operation, FRESH_EXTENSION);
  if (isFresh) return;
  operation.parameters = [
    ...(operation.parameters ?? []),
    {
      in: 'header',
      name: IDEMPOTENCY_HEADER,
      required: false,
      description:
        'Makes the request safe to repeat: within 24 hours the same credential, path, key and body get the first answer again, and nothing is done twice. A new one for each new request, a UUID for example.',
      schema: { type: 'string', minLength: 1, maxLength: MAX_IDEMPOTENCY_KEY_LENGTH },
      example: '0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e',
    },
  ];
  for (const code of ['IDEMPOTENCY_IN_PROGRESS', 'IDEMPOTENCY_KEY_REUSED'] as const) addError(operation.responses, code);
  for (const [status, response] of Object.entries(operation.responses as Record<string, { headers?: object }>)) {
    if (NEVER_REPLAYED.has(status)) continue;
    response.headers = {
      ...response.headers,
      'Idempotent-Replayed': {
        description: '`true` when this is the answer that the key got before.',
        schema: { type: 'string', enum: ['true'] },
      },
    };
  }
}

function addError(responses: Record<string, object>, code: ErrorCode): void {
  const { status, title } = errorCodes[code];
  const response = (responses[String(status)] ??= {
    description: STATUS_CODES[status],
    content: {
      'application/json': { schema: { $ref: '#/components/schemas/Error' }, examples: {} },
      'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
    },
  }) as { content: { 'application/json': { examples: Record<string, object> } } };
  response.content['application/json'].examples[code] = {
    summary: title,
    value: { error: STATUS_CODES[status], code, message: `${title}.`, requestId: '0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e' },
  };
}
