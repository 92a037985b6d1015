// node record_scores.cjs DUMP PICTURES: what tfjs says of raw 224x224 RGB pictures, one JSON line for each model.
// Prepared as nsfwjs' `infer` prepares a picture of this size: divided by 255, nothing else.
const fs = require("fs");
const path = require("path");
const tf = require(path.join(process.cwd(), "node_modules/@tensorflow/tfjs"));

const [dump, pictures] = process.argv.slice(2);
const SIDE = 224;
const BYTES = SIDE * SIDE * 3;

async function main() {
  await tf.setBackend("cpu");
  const raw = fs.readFileSync(pictures);
  for (const name of ["mobilenet_v2", "mobilenet_v2_mid"]) {
    const model = JSON.parse(fs.readFileSync(path.join(dump, name, "model.json")));
    const weights = fs.readFileSync(path.join(dump, name, "weights.bin"));
    const handler = tf.io.fromMemory({
      modelTopology: model.modelTopology,
      format: model.format,
      userDefinedMetadata: model.userDefinedMetadata,
      weightSpecs: model.weightsManifest.flatMap((group) => group.weights),
      weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.byteLength),
    });
    const load = model.format === "graph-model" ? tf.loadGraphModel : tf.loadLayersModel;
    const net = await load(handler);
    const scores = [];
    for (let start = 0; start < raw.length; start += BYTES) {
      const pixels = Uint8Array.from(raw.subarray(start, start + BYTES));
      const probabilities = tf.tidy(() =>
        net.predict(tf.tensor(pixels, [SIDE, SIDE, 3], "int32").toFloat().div(255).reshape([1, SIDE, SIDE, 3])),
      );
      scores.push(Array.from(await probabilities.data()));
      probabilities.dispose();
    }
    console.log(JSON.stringify({ model: name, scores }));
  }
}

main();
