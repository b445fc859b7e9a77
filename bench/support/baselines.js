import 'reflect-metadata';
import { createServer } from 'node:http';
import { Body, Controller, HttpCode, Module, Post, ValidationPipe } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { PrismaPg } from '@prisma/adapter-pg';
import { MasterKey } from '../../dist/core/master-key.js';
import { parseLicenseKey } from '../../dist/domain/license-key.js';
import { totalsOfNone } from '../../dist/domain/seats.js';
import { judge, notFoundVerdict } from '../../dist/domain/validation.js';
import { PrismaClient } from '../../dist/generated/prisma/client.js';
import { toNotFoundView, toValidationRequest, toValidationView, ValidateKeyBody } from '../../dist/licenses/validation.dto.js';

/** What validate-key is held against; run as a process: `node baselines.js node-http|nest|naive-prisma`. */

const HOST = '127.0.0.1';
/** As many connections as Latchkey's default has in all; its hot path uses 4 of them. */
const POOL_SIZE = 10;

const baselines = { 'node-http': nodeHttp, nest, 'naive-prisma': naivePrisma };

/** What the machine can do at all: read the request, write the same bytes. */
async function nodeHttp() {
  const answer = Buffer.from(process.env.BENCH_ANSWER);
  const headers = { 'Content-Type': 'application/json; charset=utf-8', 'Content-Length': answer.length };
  const server = createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      JSON.parse(Buffer.concat(chunks).toString('utf8'));
      response.writeHead(200, headers).end(answer);
    });
  });
  await new Promise((listening) => server.listen(0, HOST, listening));
  return `http://${HOST}:${server.address().port}`;
}

/** What the framework leaves: the same body class checked, the same answer serialised, nothing done. */
function nest() {
  const answer = JSON.parse(process.env.BENCH_ANSWER);
  return listen(() => answer);
}

/**
 * The same decision as one would first write it with Prisma: load the license with everything around it, judge, answer.
 * The bench's policies do not float, so that its dead machines all count.
 */
function naivePrisma() {
  const masterKey = new MasterKey(Buffer.from(process.env.MASTER_KEY, 'base64'));
  const adapter = new PrismaPg({ connectionString: process.env.DATABASE_URL, max: POOL_SIZE, options: '-c timezone=UTC' });
  const prisma = new PrismaClient({ adapter });
  return listen(async (body) => {
    const request = toValidationRequest(body);
    const license = await findLicense(prisma, masterKey, body.key);
    const now = new Date();
    if (license === null) return { data: toNotFoundView(notFoundVerdict, now, body.nonce) };
    const facts = { ...factsOf(license, request), request, now };
    return { data: toValidationView(judge(facts), facts, body.nonce) };
  });
}

function findLicense(prisma, masterKey, key) {
  const { body } = parseLicenseKey(key, masterKey.licenseKeyTagSecret);
  return prisma.license.findFirst({
    where: { keyDigest: masterKey.digestGeneratedKey(body), deletedAt: null },
    include: {
      policy: { include: { entitlements: { include: { entitlement: true } } } },
      product: true,
      entitlements: { include: { entitlement: true } },
      machines: { where: { deletedAt: null }, include: { pulse: true, _count: { select: { processes: true } } } },
      environment: { include: { account: true } },
    },
  });
}

function factsOf(license, request) {
  return {
    license: {
      ...license,
      coresTotal: Number(license.coresTotal),
      memoryMbTotal: Number(license.memoryMbTotal),
      diskMbTotal: Number(license.diskMbTotal),
      processCount: license.machines.reduce((sum, { _count }) => sum + _count.processes, 0),
    },
    policy: license.policy,
    productCode: license.product.code,
    environmentId: license.environmentId,
    environment: license.environment.name,
    accountId: license.environment.account.id,
    inheritedEntitlements: license.policy.entitlements.map(({ entitlement }) => entitlement.code),
    ownEntitlements: license.entitlements.map(({ entitlement, expiresAt, quantity }) => ({ code: entitlement.code, expiresAt, quantity })),
    machines: license.machines.flatMap((machine) => matchedBy(request.fingerprints, machine)),
    deadTotals: totalsOfNone,
  };
}

/** The machine with its signs of life, if a fingerprint leads to it. */
function matchedBy(sent, { id, fingerprint, pulse, components: parts }) {
  const components = parts.map((part) => part.fingerprint).filter((part) => sent.includes(part));
  return sent.includes(fingerprint) || components.length > 0 ? [{ ...pulse, id, fingerprint, components }] : [];
}

/** A Nest + Express application whose one route is validate-key, answered by `handle`. */
async function listen(handle) {
  class ValidationController {
    validateKey(body) {
      return handle(body);
    }
  }
  // Decorators are TypeScript's; in JavaScript they are functions to call.
  const route = [ValidationController.prototype, 'validateKey'];
  const descriptor = Object.getOwnPropertyDescriptor(...route);
  Controller('api/v1/licenses')(ValidationController);
  Post('validate-key')(...route, descriptor);
  HttpCode(200)(...route, descriptor);
  Body()(...route, 0);
  Reflect.defineMetadata('design:paramtypes', [ValidateKeyBody], ...route);
  const BaselineModule = function () {};
  Module({ controllers: [ValidationController] })(BaselineModule);

  const app = await NestFactory.create(BaselineModule, { logger: false });
  // As Latchkey sets them: hashing every answer for an ETag would make the baseline look slow.
  app.disable('x-powered-by');
  app.disable('etag');
  app.useGlobalPipes(new ValidationPipe({ whitelist: true, forbidNonWhitelisted: true, transform: true, stopAtFirstError: true }));
  await app.listen(0, HOST);
  return `http://${HOST}:${app.getHttpServer().address().port}`;
}

// Not the default action, which would lose a CPU profile.
process.on('SIGTERM', () => process.exit(0));
process.stdout.write(`The baseline is ready at ${await baselines[process.argv[2]]()}\n`);
