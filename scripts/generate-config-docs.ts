/** Writes ferrite.example.toml and docs/CONFIGURATION.md from the configuration schema. Run: bun scripts/generate-config-docs.ts */
import { exampleConfig, referencePage } from "../src/base/config/dump.ts";

const root = `${import.meta.dir}/..`;
await Bun.write(`${root}/ferrite.example.toml`, exampleConfig());
await Bun.write(`${root}/docs/CONFIGURATION.md`, referencePage());
