# Story Studio as a RunPod serverless worker. Model files are not in it: they lie on the network volume.
#
#   docker build --platform linux/amd64 -t story-studio .
#   docker build --platform linux/amd64 -t story-studio --build-arg COMFYUI=0.33.0 .    # with another ComfyUI
#   docker run --rm -v VOLUME:/runpod-volume story-studio story-studio models pull --profile turbo --models /runpod-volume

# NVIDIA's "base" has the CUDA runtime without the libraries: PyTorch's wheels bring their own, 4 GB of them.
FROM nvidia/cuda:12.8.1-base-ubuntu24.04

# What install.sh takes after --comfyui; empty for the pinned ComfyUI, which needs no git.
ARG COMFYUI=

# Fonts for the letters of the world, and FriBiDi for those from right to left: the cards of drafts and the contact sheet
# show prompts.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates fontconfig fonts-dejavu-core fonts-noto-core fonts-wqy-microhei libfribidi0 python3 \
        python3-venv tini \
        ${COMFYUI:+git} \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/story-studio

# All that is large, and nothing that changes with the code: of that, only where the packages are.
COPY LICENSE constraints.txt install.sh pyproject.toml ./
COPY driver/__init__.py driver/
COPY custom_nodes/story_studio/__init__.py custom_nodes/story_studio/
RUN PIP_NO_CACHE_DIR=1 ./install.sh ${COMFYUI:+--comfyui "$COMFYUI"} \
    && .venv/bin/python -m compileall -q ComfyUI

ENV PATH=/opt/story-studio/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MODEL_CACHE_DIR=/runpod-volume \
    HF_HOME=/runpod-volume/huggingface

# What .dockerignore lets through. Checked and compiled here, so that a worker starts sooner, or not at all.
COPY . .
RUN ./install.sh --check \
    && python -m compileall -q custom_nodes driver runpod_handler.py \
    && mkdir -m 1777 output workspace \
    && story-studio doctor

# No USER: RunPod mounts the volume as root's and maps no users, and a worker keeps its checkpoints and models there. The
# image needs root for nothing else: where the volume is another user's, `docker run --user` works.

HEALTHCHECK --interval=1m --timeout=30s --start-period=2m CMD ["story-studio", "doctor"]

# ComfyUI starts ffmpeg: without an init, what a killed ComfyUI leaves would stay.
ENTRYPOINT ["tini", "--"]
CMD ["python", "runpod_handler.py"]
