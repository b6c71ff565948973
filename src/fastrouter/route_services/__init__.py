"""What route services need besides the data plane: signatures, and where requests to them may go."""
