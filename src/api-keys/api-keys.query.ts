import type { Db } from '../core/database.js';
import { notFound } from '../domain/errors.js';
import type { ApiKey } from '../generated/prisma/client.js';

export async function loadApiKey(db: Db, id: string): Promise<ApiKey> {
  const row = await db.apiKey.findUnique({ where: { id } });
  if (row === null) throw notFound('API key');
  return row;
}

/** The same, held until the end of the work: what is judged is what is changed. */
export async function holdApiKey(db: Db, id: string): Promise<ApiKey> {
  await db.$queryRaw`SELECT 1 FROM api_key WHERE id = ${id}::uuid FOR UPDATE`;
  return loadApiKey(db, id);
}
