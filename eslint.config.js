import prettier from 'eslint-config-prettier';
import tseslint from 'typescript-eslint';

/**
 * The direction of the house (docs/decisions/0001-layout.md): feature → core → domain, feature → auth → core, and no
 * feature calls another's service. Each folder says what it may not import.
 */
const forbid = (files, group, message) => ({
  files,
  rules: { '@typescript-eslint/no-restricted-imports': ['error', { patterns: group.map((pattern) => ({ ...pattern, message })) }] },
});
const FEATURES =
  'tokens|accounts|users|api-keys|products|policies|entitlements|licenses|machines|offline|signing|test-clocks|events|webhooks|audit|service';

export default tseslint.config(
  { ignores: ['**/dist/', 'src/generated/', '**/node_modules/', '.latchkey/'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: {
          allowDefaultProject: [
            '*.js',
            'bin/*.js',
            'bench/*.js',
            'examples/*/*.js',
            '{scripts,sdk/scripts,test/support,test/vectors}/*.mjs',
          ],
        },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      // Views and bodies are classes only because their decorators need one: what matters is their shape.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      '@typescript-eslint/no-misused-spread': 'off',
      // Modules of Nest are classes that only carry decorators.
      '@typescript-eslint/no-extraneous-class': ['error', { allowWithDecorator: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      'max-lines': ['error', { max: 320, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
    },
  },
  forbid(
    ['src/domain/**'],
    [{ regex: '^(?!\\./|node:crypto$|node:zlib$|semver$|ipaddr\\.js$|fast-check$|@jest/globals$)' }],
    'The domain imports nothing but itself and pure libraries.',
  ),
  forbid(['src/core/**'], [{ regex: `^\\.\\./(auth|${FEATURES}|cli)/` }], 'The core knows no feature and no caller.'),
  forbid(['src/auth/**'], [{ regex: `^\\.\\./(${FEATURES}|cli)/` }], 'Authentication knows no feature.'),
  forbid(
    [`src/{${FEATURES.replaceAll('|', ',')}}/**`],
    [{ regex: `^\\.\\./(${FEATURES})/.*\\.(service|controller|worker|module)\\.js$` }],
    "A feature does not call another's service: query its data, or move the rule into the domain.",
  ),
  {
    files: ['test/**', '**/*.spec.ts'],
    // A describe block is a list of guarantees, and a reply's body is whatever the server said.
    rules: {
      'max-lines-per-function': 'off',
      'max-lines': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
  { files: ['**/*.{js,mjs}'], ...tseslint.configs.disableTypeChecked },
  prettier,
);
