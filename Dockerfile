# syntax=docker/dockerfile:1
# Trimtab as one image: the `trimtab` binary and its site, made from this folder by the scripts that `make run` uses.
#
#   docker build -t trimtab .
#   docker run --rm -p 3000:3000 -v trimtab-data:/data \
#       --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined trimtab
#
# Generated code runs inside the container in a sandbox of its own. Docker's default profiles forbid making the
# namespaces that it needs; the three options above allow it. Without them evaluation refuses to start and says so.
# Both base images are arguments, for mirrors: --build-arg BUILD_IMAGE=… --build-arg RUN_IMAGE=… (Debian 12 or newer).
ARG BUILD_IMAGE=debian:bookworm-slim
ARG RUN_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /src
# Compilers and tools first: this layer is made anew only when the scripts or the lock file of the tools change.
COPY scripts/ scripts/
COPY end2end/package.json end2end/package-lock.json end2end/
RUN scripts/setup.sh run
COPY . .
RUN scripts/build.sh \
    && install -D -m 755 target/release/trimtab /out/bin/trimtab \
    && mkdir -p /out/share/trimtab \
    && cp -r target/site /out/share/trimtab/site

FROM ${RUN_IMAGE}
# bubblewrap is the sandbox, python3 runs the answers and the health check, pip reads the model mirrors.
# hadolint ignore=DL3008 # the base image decides the versions
RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap ca-certificates python3 python3-pip \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home trimtab \
    && install -d -o trimtab -g trimtab /data
COPY --from=build /out/ /usr/local/
ENV TRIMTAB_DATA_DIR=/data \
    TRIMTAB_SITE_DIR=/usr/local/share/trimtab/site
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 3000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/health', timeout=4)"]
ENTRYPOINT ["trimtab"]
CMD ["serve", "--quickstart", "--addr", "0.0.0.0:3000"]
