/** Short messages about what an action did. The one way to them: pages load no toast code until one is shown. */
import { describeError } from "@/lib/api/errors";

interface ToastOptions {
  description?: string | null;
  action?: { label: string; onClick: () => void };
}

const ERROR_MS = 10_000;

/** For actions that failed: what went wrong, and what to do. Loads show an ErrorState in place instead. */
export function toastError(error: unknown): void {
  const { title, message, nextStep } = describeError(error);
  toastFailure(title, { description: nextStep ? `${message} ${nextStep}` : message });
}

/** For what failed elsewhere, such as a job. */
export function toastFailure(title: string, options: ToastOptions = {}): void {
  void import("sonner").then(({ toast }) => toast.error(title, { ...options, duration: ERROR_MS }));
}

export function toastSuccess(title: string, options: ToastOptions = {}): void {
  void import("sonner").then(({ toast }) => toast.success(title, options));
}

export function toastInfo(title: string, options: ToastOptions = {}): void {
  void import("sonner").then(({ toast }) => toast.info(title, options));
}
