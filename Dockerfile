# docker build .                   the product: the program and what it needs to run, nothing else
# docker build --target tests .    every test of the release build; ends with ctest's own summary
# docker build --pull --no-cache . with the security updates of today (docs/adr/0006-image-from-debian-files.md)
# buildah and podman need `--format docker`, or they leave out the health check.

FROM debian:bookworm-slim AS packages
WORKDIR /src
COPY deploy/build.sh deploy/packages.sh deploy/
# What the base image brings is updated too, because the product gets its libc from here.
RUN apt-get update --quiet && DEBIAN_FRONTEND=noninteractive apt-get upgrade --quiet --yes && \
  ROOT=$PWD bash -euo pipefail -c '. deploy/build.sh; . deploy/packages.sh; install_packages'

FROM packages AS build
COPY . .
RUN ROOT=$PWD bash -euo pipefail -c '. deploy/build.sh; build release semaphore-gateway'

FROM build AS tests
RUN tests/run.sh --preset release

FROM build AS files
RUN deploy/image_files.sh build/release/gateway/semaphore-gateway /image

FROM scratch AS product
COPY --from=files /image /
# By number, so that Kubernetes can see that it is not root (runAsNonRoot).
USER 65532:65532
# A library that is missing shows here, and not when it is deployed.
RUN ["/usr/bin/semaphore-gateway", "version"]
ENTRYPOINT ["/usr/bin/semaphore-gateway"]
CMD ["serve"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s CMD ["/usr/bin/semaphore-gateway", "health"]
ARG VERSION=development
ARG REVISION=unknown
LABEL org.opencontainers.image.title="semaphore-gateway" \
  org.opencontainers.image.description="Typed gRPC in front of the REST API of Semaphore CI" \
  org.opencontainers.image.source="https://github.com/semaphore-gateway/semaphore-gateway" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
