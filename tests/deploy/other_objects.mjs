// Validates the objects of other projects among those in the file that is named first: the
// Prometheus Operator's and the Gateway API's, with the models of the npm packages in the folder
// that is named second.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const PACKAGES = {
  "monitoring.coreos.com": "prometheus-operator",
  "gateway.networking.k8s.io": "gateway-api",
};

// The same value, which removes from `unread` the path of each field that is read. The models
// let fields pass that they do not know, and which a cluster would drop: they never read them.
function watched(value, path, unread) {
  if (value === null || typeof value !== "object") return value;
  for (const key of Object.keys(value)) unread.add(`${path}.${key}`);
  const parts = new Map();
  return new Proxy(value, {
    get(target, key) {
      if (!Object.hasOwn(target, key)) return target[key];
      unread.delete(`${path}.${String(key)}`);
      if (!parts.has(key)) parts.set(key, watched(target[key], `${path}.${String(key)}`, unread));
      return parts.get(key);
    },
  });
}

function check(models, object) {
  const unread = new Set();
  const model = new models[object.kind](object);
  model.spec = watched(object.spec, "spec", unread);
  model.validate();
  if (unread.size > 0) throw new Error(`no such field: ${[...unread].join(", ")}`);
}

const [objects, folder] = process.argv.slice(2);
const counts = {};
for (const { where, object } of JSON.parse(readFileSync(objects, "utf8"))) {
  const [group] = object.apiVersion.split("/");
  if (!(group in PACKAGES)) continue;
  const models = await import(pathToFileURL(resolve(
    folder,
    `node_modules/@kubernetes-models/${PACKAGES[group]}/${object.apiVersion}/index.js`,
  )));
  try {
    check(models, object);
  } catch (error) {
    console.error(`${where}: ${object.kind} is not valid: ${error.message}`);
    process.exit(1);
  }
  counts[group] = (counts[group] ?? 0) + 1;
}
for (const group in PACKAGES) {
  if (!(group in counts)) {
    console.error(`there was no object of ${group} to validate`);
    process.exit(1);
  }
  console.log(`${counts[group]} objects of ${group} are valid`);
}
