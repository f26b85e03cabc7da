// The line protocol of the drivers, as in lines.py.
import readline from "node:readline";

export async function drive(scenarios) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    let answer;
    try {
      answer = await scenarios[order.scenario](order);
    } catch (failure) {
      answer = { crashed: String(failure.stack ?? failure) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}
