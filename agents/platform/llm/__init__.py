"""The way to a language model. `gateway` is what agents call; `provider` is the only module that touches litellm."""
