# A server of trained models on a CPU; docs/serving.md says how to run it.
FROM python:3.12-slim
# PyTorch's CPU build first: from the package index it brings gigabytes of CUDA.
RUN pip install --no-cache-dir torch --index-url https://download.pytorch.org/whl/cpu
COPY pyproject.toml README.md LICENSE /src/
COPY src /src/src
RUN pip install --no-cache-dir "/src[audio,images,serve]" && rm -r /src
RUN useradd --create-home heedful
USER heedful
RUN heedful warmup
EXPOSE 8000
ENTRYPOINT ["heedful", "serve", "--host", "0.0.0.0"]
CMD ["--help"]
