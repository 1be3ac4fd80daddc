"""What Kubernetes is told, rendered: by `scripts/render` into files, by the tests into objects that they judge."""
