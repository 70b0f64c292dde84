/**
 * Goal:   the commands and configurations of docs/SECURITY.md and docs/PERFORMANCE_TUNING.md work.
 * Method: as for the troubleshooting guide, each page on a machine of its own.
 */
import { guideTests } from "../support/guide-tests.ts";

for (const name of ["SECURITY.md", "PERFORMANCE_TUNING.md"]) await guideTests(name);
