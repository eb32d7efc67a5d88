import { readdirSync } from "node:fs";
import { FlatCompat } from "@eslint/eslintrc";

const compat = new FlatCompat({ baseDirectory: import.meta.dirname });

/** Folders of src that each layer must not import: app → features/<x> → components → lib. */
const LAYERS = { features: ["app"], components: ["app", "features"], lib: ["app", "features", "components"] };

const features = readdirSync(new URL("src/features", import.meta.url), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);

const zones = [
  ...Object.entries(LAYERS).flatMap(([layer, above]) =>
    above.map((from) => ({
      target: `./src/${layer}`,
      from: `./src/${from}`,
      message: "Imports go down only: app → features → components → lib.",
    })),
  ),
  ...features.map((name) => ({
    target: `./src/features/${name}`,
    from: "./src/features",
    except: [`./${name}`],
    message: "A feature does not import another feature; move what both need to components or lib.",
  })),
];

const config = [
  {
    ignores: [
      ".next/**",
      ".next-dev/**",
      "coverage/**",
      "next-env.d.ts",
      "node_modules/**",
      "playwright-report/**",
      "src/lib/api/*.d.ts",
      "test-results/**",
    ],
  },
  ...compat.extends("next/core-web-vitals", "next/typescript"),
  {
    files: ["**/*.{ts,tsx}"],
    rules: {
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "import/no-cycle": "error",
      "import/no-restricted-paths": ["error", { zones }],
      "max-lines": ["error", 250],
      complexity: ["error", 12],
      eqeqeq: ["error", "always", { null: "ignore" }],
      "no-console": ["error", { allow: ["warn", "error"] }],
    },
  },
  {
    files: ["src/components/**", "src/features/**", "src/lib/**"],
    rules: {
      "import/no-default-export": "error",
      "no-restricted-imports": [
        "error",
        { name: "sonner", message: "Use components/app/toasts: it loads when a toast is shown." },
        { name: "zod", message: "Import zod/mini: it is a twentieth of the size." },
      ],
    },
  },
  { files: ["src/components/ui/sonner.tsx", "src/testing/**"], rules: { "no-restricted-imports": "off" } },
];

export default config;
