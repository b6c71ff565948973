"""Which endpoints serve which route: registered, static, or handed over by a predecessor."""
