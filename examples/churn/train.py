"""Train the demo's churn model and export it to churn.onnx beside this file.

    python3 -m venv /tmp/churn-venv
    /tmp/churn-venv/bin/pip install -r examples/churn/requirements.txt
    /tmp/churn-venv/bin/python examples/churn/train.py

In:  `input` float [N,3] = tenure (months), monthly_charges, total_charges (dollars).
Out: `label` int64 [N] (1 = churns), `probabilities` float [N,2] (stays, churns).
The customers are synthetic and the seed is fixed: with the same pinned packages a rerun writes the same bytes.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

SEED = 20250315
ROWS = 20_000
# Old enough for any runtime of the last years; newer operators would buy nothing here.
OPSET = {"": 17, "ai.onnx.ml": 3}
OUT = Path(__file__).with_name("churn.onnx")


def customers(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Features [rows,3] float32 and churned [rows] int64, spread as seed.sql spreads them."""
    u, v, w = rng.random((3, rows))
    tenure = 1 + np.floor(72 * (0.35 * u + 0.65 * u * u))
    monthly = np.round(18.25 + 100.5 * (1.4 * v - 0.4 * v * v), 2)
    total = np.round(tenure * monthly * (0.9 + 0.2 * w), 2)
    # New, expensive customers leave; so do those whose price has risen above what they used to pay.
    risen = monthly * tenure / total - 1
    logit = 0.1 - 0.055 * tenure + 0.028 * (monthly - 65) + 6 * risen
    churned = rng.random(rows) < 1 / (1 + np.exp(-logit))
    return np.column_stack([tenure, monthly, total]).astype(np.float32), churned.astype(np.int64)


def same_bytes(model: onnx.ModelProto) -> bytes:
    """Serialize, with the operator sets in order: skl2onnx lists them in a set's order, which changes from run to run."""
    versions = sorted({(opset.domain, opset.version) for opset in model.opset_import})
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(*v) for v in versions)
    return model.SerializeToString(deterministic=True)


def main() -> None:
    features, churned = customers(np.random.default_rng(SEED), ROWS)
    x, x_test, y, y_test = train_test_split(features, churned, test_size=0.2, random_state=SEED)
    model = GradientBoostingClassifier(n_estimators=100, max_depth=3, random_state=SEED).fit(x, y)

    onnx_model = to_onnx(
        model,
        name="churn",
        initial_types=[("input", FloatTensorType([None, 3]))],
        options={"zipmap": False},
        target_opset=OPSET,
    )
    data = same_bytes(onnx_model)

    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert [o.name for o in session.get_outputs()] == ["label", "probabilities"]
    label, probabilities = session.run(None, {"input": x_test})
    expected = model.predict_proba(x_test)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert np.array_equal(label, model.predict(x_test))

    OUT.write_bytes(data)
    print(f"{OUT.name}: {len(data)} bytes, churn rate {churned.mean():.3f}, AUC {roc_auc_score(y_test, expected[:, 1]):.3f}")


if __name__ == "__main__":
    main()
