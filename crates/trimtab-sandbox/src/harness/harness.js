// Runs the program as a script with assertions that throw; repeats the word on standard input once
// nothing is left to do. Leaving early says nothing.
"use strict";
const fs = require("fs");
const vm = require("vm");

console.assert = (condition, ...told) => {
    if (!condition) throw new Error(["assertion failed", ...told].join(" "));
};
Object.assign(globalThis, { require, module: { exports: {} }, exports: {} });
const write = fs.writeSync, read = fs.readFileSync;
process.once("beforeExit", () => {
    if (!process.exitCode) write(1, "\n@trimtab " + read(0, "utf8").trim() + "\n");
});
vm.runInThisContext(fs.readFileSync("/tmp/program.js", "utf8"), { filename: "program.js" });
