import type { Issue } from './errors.js';

const MAX_DEPTH = 20;
export const TOO_DEEP = `must not be nested deeper than ${String(MAX_DEPTH)} levels`;
/** What every object has of its own: validation would drop such keys in silence. */
const IMPOSSIBLE_KEYS = new Set([...Object.getOwnPropertyNames(Object.prototype), 'prototype']);

/**
 * Text that PostgreSQL could not store, or would store as something else, anywhere in a request: null bytes and
 * unpaired surrogates, in values and in keys. Nesting beyond what any route takes is refused here too, before
 * something recursive walks it. Iterative, so that no input exhausts the stack.
 */
export function textIssues(root: unknown): Issue[] {
  const issues: Issue[] = [];
  const open: { value: unknown; path: string; depth: number }[] = [{ value: root, path: '', depth: 0 }];
  for (let entry = open.pop(); entry !== undefined; entry = open.pop()) {
    const { value, path, depth } = entry;
    if (typeof value === 'string') {
      const problem = textProblem(value);
      if (problem !== null) issues.push({ path, message: problem });
    } else if (typeof value === 'object' && value !== null) {
      if (depth >= MAX_DEPTH) return [{ path: firstSegments(path), message: TOO_DEEP }];
      for (const [key, item] of Object.entries(value)) {
        const itemPath = Array.isArray(value) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`;
        if (!Array.isArray(value) && textProblem(key) !== null)
          issues.push({ path, message: 'keys must be well-formed text without null bytes' });
        else if (!Array.isArray(value) && IMPOSSIBLE_KEYS.has(key)) issues.push({ path: itemPath, message: 'is not a known field' });
        else open.push({ value: item, path: itemPath, depth: depth + 1 });
      }
    }
  }
  return issues.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function textProblem(text: string): string | null {
  if (text.includes('\0')) return 'must not contain null bytes';
  return text.isWellFormed() ? null : 'must be well-formed Unicode (it has an unpaired surrogate)';
}

function firstSegments(path: string): string {
  return path.split(/[.[]/, 1)[0] ?? '';
}
