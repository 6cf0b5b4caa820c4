#!/usr/bin/env node
// The pinned solc of npm, for tools that start a `solc` program: forge, and slither and halmos through it.
"use strict";
const fs = require("fs");
const path = require("path");
const solc = require("solc");

if (process.argv.includes("--version")) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
  process.exit(0);
}
const at = process.argv.indexOf("--base-path");
const base = at < 0 ? "." : process.argv[at + 1];
const find = (name) => {
  try {
    return { contents: fs.readFileSync(path.resolve(base, name), "utf8") };
  } catch (error) {
    return { error: String(error) };
  }
};
process.stdout.write(solc.compile(fs.readFileSync(0, "utf8"), { import: find }));
