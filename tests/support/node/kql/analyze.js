// Binds queries with Microsoft's language service for KQL.
//
// Each line of stdin is {tables, functions, queries}: tables and functions by name, each with its
// columns as {name, type}; a function takes one string and returns a table. Prints a line with the
// diagnostics of each query and the columns of its result.
"use strict";

const service = "@kusto/language-service-next";
const paths = { paths: [process.argv[2]] }; // the folder that holds node_modules
require(require.resolve(`${service}/bridge.js`, paths));
require(require.resolve(`${service}/Kusto.Language.Bridge.js`, paths));

const { GlobalState, KustoCode, Symbols } = Kusto.Language;

function columnsOf(columns) {
  return columns.map(({ name, type }) => {
    const symbol = Symbols.ScalarTypes.GetSymbol(type);
    if (!symbol) throw new Error(`${name} is of the unknown type ${type}`);
    return new Symbols.ColumnSymbol(name, symbol);
  });
}

function globalsOf(input) {
  const tables = Object.entries(input.tables).map(
    ([name, columns]) => new Symbols.TableSymbol.$ctor4(name, columnsOf(columns)),
  );
  const functions = Object.entries(input.functions).map(
    ([name, columns]) =>
      new Symbols.FunctionSymbol.$ctor5(name, new Symbols.TableSymbol.ctor(columnsOf(columns)), [
        new Symbols.Parameter.$ctor2("alias", Symbols.ScalarTypes.String),
      ]),
  );
  const database = new Symbols.DatabaseSymbol.ctor("workspace", [...tables, ...functions]);
  return GlobalState.Default.WithDatabase(database);
}

function analyze(text, globals) {
  const code = KustoCode.ParseAndAnalyze(text, globals);
  const result = code.ResultType;
  return {
    diagnostics: Bridge.toArray(code.GetDiagnostics()).map((found) => ({
      severity: found.Severity,
      message: found.Message,
      position: found.Start,
    })),
    columns:
      result instanceof Symbols.TableSymbol
        ? Bridge.toArray(result.Columns).map(({ Name, Type }) => ({ name: Name, type: Type.Name }))
        : [],
  };
}

function answer(input) {
  const globals = globalsOf(input);
  return input.queries.map((text) => analyze(text, globals));
}

require("node:readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => console.log(JSON.stringify(answer(JSON.parse(line)))));
