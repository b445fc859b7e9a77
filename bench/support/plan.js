import pg from 'pg';
import { LOOKUP_ROLE } from '../../dist/core/database.js';
import { parseLicenseKey } from '../../dist/domain/license-key.js';
import { FIND_VALIDATION_FACTS } from '../../dist/licenses/validation.query.js';

/** A prepared statement is planned anew the first five times; then the generic plan is taken unless it looks dearer. */
const PLAN_MODES = ['force_custom_plan', 'force_generic_plan'];
const EXECUTIONS = 5;

/**
 * How PostgreSQL answers the facts query for one license, as the role and in both ways that the server runs it.
 * @returns for each way a printable summary, and the tables that are read from end to end
 */
export async function explainFacts(client, masterKey, { key, fingerprints }) {
  const digest = Buffer.from(masterKey.digestGeneratedKey(parseLicenseKey(key, masterKey.licenseKeyTagSecret).body)).toString('hex');
  const values = `'\\x${digest}'::bytea, ARRAY[${pg.escapeLiteral(fingerprints[0])}], now()`;
  await client.query(`SET ROLE ${LOOKUP_ROLE}`);
  await client.query(`PREPARE facts (bytea, text[], timestamptz) AS ${FIND_VALIDATION_FACTS.text}`);
  const plans = [];
  for (const mode of PLAN_MODES) {
    await client.query(`SET plan_cache_mode = ${mode}`);
    let explained;
    // The last of several, when catalogue and pages are in memory as they are on a busy server.
    for (let execution = 0; execution < EXECUTIONS; execution += 1) {
      const { rows } = await client.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE facts (${values})`);
      [explained] = rows[0]['QUERY PLAN'];
    }
    plans.push(summaryOf(mode, explained));
  }
  await client.query('RESET ROLE');
  return plans;
}

function summaryOf(mode, explained) {
  const nodes = nodesOf(explained.Plan, 0);
  return {
    text: [
      `${mode.replace('force_', '').replace('_', ' ')}: planning ${explained['Planning Time'].toFixed(3)} ms, execution ${explained['Execution Time'].toFixed(3)} ms`,
      ...nodes.map(({ node, depth }) => `  ${'  '.repeat(depth)}${lineOf(node)}`),
    ].join('\n'),
    sequentialScans: nodes.filter(({ node }) => node['Node Type'] === 'Seq Scan').map(({ node }) => node['Relation Name']),
  };
}

/** A plan's nodes, with how deep each is. */
export function nodesOf(node, depth) {
  return [{ node, depth }, ...(node.Plans ?? []).flatMap((child) => nodesOf(child, depth + 1))];
}

export function lineOf(node) {
  const where = node['Index Name'] === undefined ? '' : ` using ${node['Index Name']}`;
  const table = node['Relation Name'] === undefined ? '' : ` on ${node['Relation Name']}`;
  const buffers = `buffers ${node['Shared Hit Blocks']} hit, ${node['Shared Read Blocks']} read`;
  return `${node['Node Type']}${where}${table}: ${node['Actual Rows']} rows × ${node['Actual Loops']}, ${buffers}`;
}
