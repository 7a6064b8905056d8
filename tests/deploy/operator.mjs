// Validates the Prometheus Operator's objects among those in the file that is named first,
// with the models of the npm package in the folder that is named second.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [objects, folder] = process.argv.slice(2);
const GROUP = "monitoring.coreos.com/";
let count = 0;
for (const { where, object } of JSON.parse(readFileSync(objects, "utf8"))) {
  if (!object.apiVersion.startsWith(GROUP)) continue;
  const models = await import(pathToFileURL(resolve(
    folder,
    `node_modules/@kubernetes-models/prometheus-operator/${object.apiVersion}/index.js`,
  )));
  try {
    new models[object.kind](object).validate();
  } catch (error) {
    console.error(`${where}: ${object.kind} is not valid: ${error.message}`);
    process.exit(1);
  }
  count += 1;
}
if (count === 0) {
  console.error("there was no object of the Prometheus Operator to validate");
  process.exit(1);
}
console.log(`${count} objects of the Prometheus Operator are valid`);
