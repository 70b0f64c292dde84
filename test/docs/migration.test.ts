/**
 * Goal:   docs/MIGRATION.md leads from Redis to Ferrite and back, and no data is lost on the way.
 * Method: its blocks run in their order on a machine of their own, with redis-server and Ferrite (test/support/guide-sandbox.ts).
 */
import { guideTests } from "../support/guide-tests.ts";

await guideTests("MIGRATION.md");
