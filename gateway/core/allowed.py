"""What a key may ask for: which models and endpoints, how many images at once, and how large."""

from dataclasses import dataclass

from gateway.core.errors import InvalidRequest, NotAllowed
from gateway.core.order import Operation, Order


@dataclass(frozen=True, slots=True)
class Allowed:
    """A list without a name in it, and a limit that is None, allow everything."""

    #: by id
    models: tuple[str, ...] = ()
    endpoints: tuple[Operation, ...] = ()
    most_images: int | None = None
    #: width × height of one image
    most_pixels: int | None = None

    def may_use(self, model: str) -> bool:
        return not self.models or model in self.models

    def may_call(self, endpoint: Operation) -> bool:
        return not self.endpoints or endpoint in self.endpoints

    def may_show(self, pixels: int) -> bool:
        return self.most_pixels is None or pixels <= self.most_pixels

    def check(self, order: Order) -> None:
        """Raises NotAllowed, and InvalidRequest naming the field and the key's own limit."""
        if not self.may_use(order.model):
            raise NotAllowed(f"This API key may not use the model '{order.model}'.", param="model")
        if not self.may_call(order.operation):
            raise NotAllowed(f"This API key may not ask for {order.operation}s: only {self._endpoints()}.")
        if self.most_images is not None and order.count > self.most_images:
            raise InvalidRequest(f"This API key may ask for n up to {self.most_images}, not {order.count}.", param="n")
        pixels = order.width * order.height
        if not self.may_show(pixels):
            size = f"{order.width}x{order.height} has {pixels}"
            raise InvalidRequest(
                f"This API key may ask for images of up to {self.most_pixels} pixels: {size}.", param="size"
            )

    def _endpoints(self) -> str:
        return ", ".join(f"{endpoint}s" for endpoint in self.endpoints)
