import { Compare } from "@/features/training/components/compare";

export const metadata = { title: "Compare runs" };

export default function TrainingComparePage() {
  return <Compare />;
}
