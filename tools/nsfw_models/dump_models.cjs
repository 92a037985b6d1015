// node dump_models.cjs OUT: the models that nsfwjs bundles as JavaScript, as OUT/<name>/{model.json,weights.bin}.
const fs = require("fs");
const path = require("path");

const out = process.argv[2];
const root = path.join(process.cwd(), "node_modules/nsfwjs/dist/models");

function load(file) {
  const module = { exports: {} };
  new Function("module", "exports", fs.readFileSync(file, "utf8"))(module, module.exports);
  return module.exports;
}

for (const name of ["mobilenet_v2", "mobilenet_v2_mid"]) {
  const model = load(path.join(root, name, "model.min.js"));
  const shards = model.weightsManifest.flatMap((group) => group.paths);
  const weights = shards.map((shard) => Buffer.from(load(path.join(root, name, shard + ".min.js")), "base64"));
  fs.mkdirSync(path.join(out, name), { recursive: true });
  fs.writeFileSync(path.join(out, name, "model.json"), JSON.stringify(model));
  fs.writeFileSync(path.join(out, name, "weights.bin"), Buffer.concat(weights));
}
