// npm's aws-local-stepfunctions, timed in its own process: a line {"definition", "input", "repeats"} in, seconds out.
// One process answers for a whole table, so that its compiler is as warm as it gets.
const { StateMachine } = require("aws-local-stepfunctions");
const lines = require("node:readline").createInterface({ input: process.stdin });

lines.on("line", async (line) => {
  const { definition, input, repeats } = JSON.parse(line);
  const machine = new StateMachine(definition, { validationOptions: { noValidate: true } });
  const begun = process.hrtime.bigint();
  for (let i = 0; i < repeats; i++) await machine.run(input).result;
  console.log(Number(process.hrtime.bigint() - begun) / 1e9);
});
