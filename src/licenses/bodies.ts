/** Routes whose bodies are larger than others', or no JSON (contract: http.md, "Base"). */

const MIB = 1024 * 1024;

export const BULK_PATH = '/api/v1/licenses/bulk';
export const BULK_LIMIT_BYTES = 4 * MIB;

export const IMPORT_PATH = '/api/v1/licenses/import';
export const IMPORT_LIMIT_BYTES = 64 * MIB;
