import { Metrics } from "@/features/metrics/components/metrics";

export const metadata = { title: "Metrics" };

export default function MetricsPage() {
  return <Metrics />;
}
