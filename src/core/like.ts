/**
 * Conditions on text whatever its case. Prisma makes ILIKE of them and leaves its wildcards in the text: `_` would match
 * anything, and a backslash at the end would be an error.
 */
const literal = (text: string): string => text.replace(/[\\%_]/g, '\\$&');

export const equalsAnyCase = (text: string) => ({ equals: literal(text), mode: 'insensitive' as const });

export const containsAnyCase = (text: string) => ({ contains: literal(text), mode: 'insensitive' as const });

/** The same for statements of our own. */
export const containsPattern = (text: string): string => `%${literal(text)}%`;
