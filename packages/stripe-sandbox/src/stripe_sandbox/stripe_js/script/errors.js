// An IntegrationError is a mistake in the page, so it is thrown. A failed payment is a result: `{error}`.

class IntegrationError extends Error {
  constructor(message) {
    super(message);
    this.name = "IntegrationError";
  }
}

const UNAUTHENTICATED = "We are unable to authenticate your payment method. "
  + "Please choose a different payment method and try again.";

function intentIdOf(clientSecret) {
  const match = /^(pi_[A-Za-z0-9]+)_secret_[A-Za-z0-9]+$/.exec(clientSecret);
  if (!match) {
    throw new IntegrationError(
      "Invalid value for paymentIntent client_secret: value should be a client secret of the form ${id}_secret_${secret}.",
    );
  }
  return match[1];
}

// The reason why the last attempt failed, as a result.
function failureOf(intent) {
  const error = intent.last_payment_error ?? {
    type: "invalid_request_error",
    code: "payment_intent_unexpected_state",
    message: `This PaymentIntent has the status ${intent.status}.`,
  };
  const unauthenticated = error.code === "payment_intent_authentication_failure";
  const message = unauthenticated ? UNAUTHENTICATED : error.message;
  return { error: { ...error, message, payment_intent: intent } };
}
