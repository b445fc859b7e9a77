/** On every answer, whoever gives it. */
export const HEADERS_OF_ALL = { 'X-Content-Type-Options': 'nosniff', 'Cache-Control': 'no-store' };
