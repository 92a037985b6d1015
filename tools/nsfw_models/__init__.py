"""Makes the ONNX files of the image check from the npm package nsfwjs, and records what tfjs scores."""
