/**
 * `TEST_WHOLE=true` gives the tests that count under load all that they are for: 2,000 changes over 20 kills, 10,000
 * activations, 100,000 validations. Else they have a part of it: they assert the same of less.
 */
export const isWholeRun = process.env.TEST_WHOLE === 'true';
